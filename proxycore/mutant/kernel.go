package mutant

import (
	"context"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"svclab/proxycore"
)

// Mutants in this file do something to the node's kernel that no proxy should.

// cutsConnections forgets all connections when anything changes, as an over-eager clean-up does.
var cutsConnections = Mutant{
	Name:     "cuts-connections",
	Breaks:   "CIP-4",
	Scenario: "long-lived",
	Peaceful: "hairpin",
	Sentence: "this connection was opened to pod/old and keeps it to its end",
	Backend:  func(b proxycore.Backend, netns int) proxycore.Backend { return &forgetful{inner{b}, netns} },
}

type forgetful struct {
	inner
	netns int
}

func (f *forgetful) Program(ctx context.Context, c proxycore.Change) error {
	if err := f.inner.Program(ctx, c); err != nil {
		return err
	}
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: f.netns})
	if err != nil {
		return err
	}
	defer conn.Close()
	const deleteEntry = 2 // IPCTNL_MSG_CT_DELETE; without a tuple: all
	_, err = conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_CTNETLINK<<8 | deleteEntry, Flags: netlink.Request | netlink.Acknowledge},
		Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	})
	if err != nil {
		return fmt.Errorf("forget all connections: %w", err)
	}
	return nil
}

// masqueradesDirect puts the node's address also on what it has not translated.
var masqueradesDirect = Mutant{
	Name:     "masquerades-direct",
	Breaks:   "M-1",
	Scenario: "pod-network",
	Also:     []string{"headless", "leaving-pod"},
	Peaceful: "ports",
	Sentence: "directly, so its own address is kept",
	Backend: addsRule(func(nftables.TableFamily) (nftables.Chain, []expr.Any) {
		const dnat = 1 << 5 // IPS_DST_NAT
		chain := nftables.Chain{Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource}
		return chain, []expr.Any{
			&expr.Ct{Key: expr.CtKeySTATUS, Register: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(dnat), Xor: binaryutil.NativeEndian.PutUint32(0)},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(0)},
			&expr.Masq{},
		}
	}),
}
