package sandbox

import (
	"errors"
	"fmt"
	"sync"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// State of a power: not being able to find out is neither yes nor no.
type State int

const (
	Unknown State = iota
	No
	Yes
)

func (s State) String() string { return [...]string{"unknown", "no", "yes"}[s] }

// Power is something that a kernel or a user may lack, with the proof of its state: what was tried and what came of it.
type Power struct {
	Name  string
	State State
	Proof string
}

// probes are all powers, each tried in a fresh namespace.
var probes = []struct {
	name, tries string
	try         func(*nsnet.NS) error
}{
	{"userns", "make a network namespace", func(*nsnet.NS) error { return nil }},
	{"nftables", "make a nat chain", makeNatChain},
	{"iptables-nft", "restore rules with iptables-nft", restoreRules("nft")},
	{"iptables-legacy", "restore rules with iptables-legacy", restoreRules("legacy")},
	{"veth", "make a veth pair", func(ns *nsnet.NS) error {
		return addLink(ns, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a"}, PeerName: "b"})
	}},
	{"bridge", "make a bridge", func(ns *nsnet.NS) error {
		return addLink(ns, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "a"}})
	}},
	{"ipvs", "ask for the generic netlink family IPVS", func(ns *nsnet.NS) error {
		h, err := ns.Netlink()
		if err != nil {
			return err
		}
		_, err = h.GenlFamilyGet("IPVS")
		return err
	}},
}

// Probe finds out which powers the process has, here and now: call it inside. A kernel does not change while we run, so the
// second call is free.
func Probe() []Power { return probeAll() }

var probeAll = sync.OnceValue(func() []Power {
	var powers []Power
	for _, p := range probes {
		powers = append(powers, judge(p.name, p.tries, tryInFresh(p.name, p.try)))
	}
	return powers
})

func tryInFresh(name string, try func(*nsnet.NS) error) error {
	ns, err := nsnet.New("probe/" + name)
	if err != nil {
		return err
	}
	defer ns.Close()
	return try(ns)
}

// judge takes for a No only what a kernel says when it cannot or may not; out of memory, say, is Unknown.
func judge(name, tries string, err error) Power {
	if err == nil {
		return Power{name, Yes, tries + ": done"}
	}
	state := Unknown
	for _, no := range []error{unix.EPERM, unix.EACCES, unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.ENOENT, unix.ENOSYS} {
		if errors.Is(err, no) {
			state = No
		}
	}
	return Power{name, state, fmt.Sprintf("%s: %v", tries, err)}
}

func addLink(ns *nsnet.NS, link netlink.Link) error {
	h, err := ns.Netlink()
	if err != nil {
		return err
	}
	return h.LinkAdd(link)
}

func makeNatChain(ns *nsnet.NS) error {
	conn, err := nftables.New(nftables.WithNetNSFd(ns.FD()))
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "probe"})
	conn.AddChain(&nftables.Chain{
		Table: table, Name: "prerouting", Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	return conn.Flush()
}
