package mutant

import (
	"context"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"svclab/proxycore"
)

// Mutants in this file spoil what belongs to every connection through a Service: errors on the way, echoes, the memory of
// sequence numbers.

// eatsICMP keeps the errors from a sender that tell it to send less at once.
var eatsICMP = Mutant{
	Name:     "eats-icmp",
	Breaks:   "M-13",
	Scenario: "narrow-underlay",
	Peaceful: "large-payloads",
	Sentence: "silent for",
	Backend: addsRule(func(family nftables.TableFamily) (nftables.Chain, []expr.Any) {
		const tooLong, tooLong6 = 3, 2 // destination unreachable (RFC 792; code 4), packet too big (RFC 4443)
		kind := []byte{tooLong}
		if family == nftables.TableFamilyIPv6 {
			kind = []byte{tooLong6}
		}
		chain := nftables.Chain{Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter}
		return chain, append(ofICMP(family, kind), &expr.Verdict{Kind: expr.VerdictDrop})
	}),
}

// answersEchoes lets the node answer whoever sends an echo to a ClusterIP.
var answersEchoes = Mutant{
	Name:     "answers-echoes",
	Breaks:   "CIP-13",
	Scenario: "echo",
	Peaceful: "myservice",
	Sentence: "proxies translate no echo",
	Backend: addsRule(func(family nftables.TableFamily) (nftables.Chain, []expr.Any) {
		const echo, echo6 = 8, 128
		kind, at, cidr := []byte{echo}, uint32(16), []byte{10, 96} // where the destination is, and how ClusterIPs begin
		if family == nftables.TableFamilyIPv6 {
			kind, at, cidr = []byte{echo6}, 24, []byte{0xfd, 0, 0, 0x10, 0, 0x96}
		}
		chain := nftables.Chain{Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(-150)}
		return chain, append(ofICMP(family, kind),
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: at, Len: uint32(len(cidr))},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: cidr},
			&expr.Redir{})
	}),
}

// dropsFragments drops what does not fit one packet, as who looks for ports in every fragment does.
var dropsFragments = Mutant{
	Name:     "drops-fragments",
	Breaks:   "CIP-29",
	Scenario: "large-payloads",
	Peaceful: "myservice",
	Sentence: "silent for",
	Backend: addsRule(func(nftables.TableFamily) (nftables.Chain, []expr.Any) {
		chain := nftables.Chain{Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityFilter}
		return chain, []expr.Any{ // here they are put together again, by connection tracking
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
			&expr.Meta{Key: expr.MetaKeyLEN, Register: 1},
			&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
			&expr.Cmp{Op: expr.CmpOpGt, Register: 1, Data: []byte{0, 0, 5, 220}},
			&expr.Verdict{Kind: expr.VerdictDrop},
		}
	}),
}

// tracksStrictly takes packets beyond the window for invalid, and lets them pass untranslated (row CT-14).
var tracksStrictly = Mutant{
	Name:     "tracks-strictly",
	Breaks:   "CT-14",
	Scenario: "out-of-window",
	Only:     "nftables", // iptables drops such packets
	Peaceful: "myservice",
	Sentence: "should have answered",
	Sysctls:  map[string]string{"net.netfilter.nf_conntrack_tcp_be_liberal": "0"},
}

// ofICMP matches packets of one type.
func ofICMP(family nftables.TableFamily, kind []byte) []expr.Any {
	proto := byte(unix.IPPROTO_ICMP)
	if family == nftables.TableFamilyIPv6 {
		proto = unix.IPPROTO_ICMPV6
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: kind},
	}
}

// addsRule adds one rule of its own in each family, after the first Program.
func addsRule(make func(family nftables.TableFamily) (nftables.Chain, []expr.Any)) func(proxycore.Backend, int) proxycore.Backend {
	return func(b proxycore.Backend, netns int) proxycore.Backend {
		return &adding{inner: inner{b}, netns: netns, make: make}
	}
}

type adding struct {
	inner
	netns int
	make  func(family nftables.TableFamily) (nftables.Chain, []expr.Any)
	done  bool
}

func (a *adding) Program(ctx context.Context, c proxycore.Change) error {
	if err := a.inner.Program(ctx, c); err != nil || a.done {
		return err
	}
	conn, err := nftables.New(nftables.WithNetNSFd(a.netns))
	if err != nil {
		return err
	}
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		chain, exprs := a.make(family)
		chain.Table = conn.AddTable(&nftables.Table{Family: family, Name: "mutant"})
		chain.Name = "mutant"
		conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: conn.AddChain(&chain), Exprs: exprs})
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("add the mutant's rule: %w", err)
	}
	a.done = true
	return nil
}
