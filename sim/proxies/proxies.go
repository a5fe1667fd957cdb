// Package proxies is the list of proxies that a lab can run: name, powers and constructor, in one place that can be
// read. The command, the benchmarks and the tests all take their proxies from here.
package proxies

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"time"

	"svclab/nsnet"
	"svclab/proxycore"
	"svclab/proxycore/cluster"
	"svclab/proxycore/conntrack"
	"svclab/proxycore/iptables"
	"svclab/proxycore/metrics"
	"svclab/proxycore/mutant"
	"svclab/proxycore/nftables"
	"svclab/sim/lab"
	"svclab/sim/world"
)

// Proxy is one column of a report.
type Proxy struct {
	Name   string   // as given to --proxy
	About  string   // one line
	Powers []string // what the machine must have (sandbox.Powers)
	Mode   cluster.Mode
	// Backend opens the backend of one node; nil for a foreign proxy.
	Backend func(*nsnet.NS) (proxycore.Backend, error)

	mutant  *mutant.Mutant
	foreign *foreignProxy
}

// All is every proxy of our own, in the order in which reports show them.
var All = []Proxy{
	{
		Name:    "nftables",
		About:   "svclab's own core on nf_tables, in the flat layout",
		Powers:  []string{"nftables"},
		Backend: func(ns *nsnet.NS) (proxycore.Backend, error) { return nftables.New(nftables.Options{NetNS: ns.FD()}) },
	},
	onIptables("nft", "svclab's own core on iptables, which writes to nf_tables"),
	onIptables("legacy", "svclab's own core on iptables, which writes to the older ip_tables"),
}

// iptablesMode is kube-proxy's: NodePorts at every address, on IPv4 also at 127.0.0.1.
var iptablesMode = cluster.Mode{EveryAddress: true, Localhost: true}

func onIptables(flavour, about string) Proxy {
	name := "iptables-" + flavour
	return Proxy{Name: name, About: about, Powers: []string{name}, Mode: iptablesMode, Backend: func(ns *nsnet.NS) (proxycore.Backend, error) {
		return iptables.New(iptables.Options{Flavour: flavour, Run: ns.Do})
	}}
}

// standard is the one of All that the machine's iptables command stands for.
func standard() Proxy {
	flavour := "legacy"
	if out, _ := exec.Command("iptables", "--version").Output(); bytes.Contains(out, []byte("nf_tables")) {
		flavour = "nft"
	}
	i := slices.IndexFunc(All, func(p Proxy) bool { return p.Name == "iptables-"+flavour })
	return All[i]
}

// Find returns the proxy of our own of that name; "NAME~MUTANT" is one with one thing spoilt on purpose, and "iptables" is
// what the machine calls so.
func Find(name string) (Proxy, error) {
	base, spoilt, isMutant := strings.Cut(name, "~")
	if base == "iptables" {
		base = standard().Name
		name = strings.Replace(name, "iptables", base, 1)
	}
	for _, p := range All {
		if p.Name != base {
			continue
		}
		if isMutant {
			m, ok := mutant.Find(spoilt)
			if !ok {
				return Proxy{}, fmt.Errorf("proxy %q: there is no mutant %q; there are %s", name, spoilt, strings.Join(mutantNames(), ", "))
			}
			if !m.Spoils(base) {
				return Proxy{}, fmt.Errorf("proxy %q: the mutant %s deletes rules by the names that %s gives them; %s has none such", name, spoilt, m.Only, base)
			}
			p.Name, p.mutant = name, m
		}
		return p, nil
	}
	return Proxy{}, fmt.Errorf("there is no proxy %q; there are %s, the first %d of them also with ~MUTANT, and exec:PROFILE.yaml", name, strings.Join(Names(), ", "), len(All))
}

// Names lists the proxies, our own first.
func Names() (names []string) {
	for _, p := range slices.Concat(All, Processes, KubeProxies) {
		names = append(names, p.Name)
	}
	return names
}

func mutantNames() (names []string) {
	for _, m := range mutant.Mutants {
		names = append(names, m.Name)
	}
	return names
}

// Opener returns the constructor that a lab asks for: this proxy on one node, told the topology's settings. Where they need
// the range of all pods and do not say it, it is what the nodes have.
func (p Proxy) Opener(t *world.Topology) func(*world.Host, *nsnet.NS) (lab.NodeProxy, error) {
	settings := t.Settings
	if len(settings.ClusterCIDRs) == 0 {
		for _, n := range t.Nodes {
			settings.ClusterCIDRs = append(settings.ClusterCIDRs, n.PodCIDRs...)
		}
	}
	if p.foreign != nil {
		return p.foreign.opener(settings)
	}
	return func(node *world.Host, ns *nsnet.NS) (lab.NodeProxy, error) {
		return p.open(ns, core{node: node.Name, settings: settings, healthz: healthzAt, metrics: metricsAt})
	}
}

// core is what the proxy core of one node is told.
type core struct {
	node     string
	settings cluster.Settings
	healthz  netip.AddrPort
	metrics  netip.AddrPort
	more     func() []metrics.Counter // optional
	failed   func(error)              // optional: told where serving health checks failed
}

// node is the proxy core on a node, whoever feeds it.
type node interface {
	lab.NodeProxy
	Abandon()
}

// open is the one constructor of our own core: in a lab, and in a process of its own.
func (p Proxy) open(ns *nsnet.NS, c core) (node, error) {
	if p.mutant != nil {
		for _, key := range slices.Sorted(maps.Keys(p.mutant.Sysctls)) {
			if err := ns.Sysctls(nsnet.Setting{Key: key, Value: p.mutant.Sysctls[key]}); err != nil {
				return nil, err
			}
		}
	}
	backend, err := p.Backend(ns)
	if err != nil {
		return nil, err
	}
	sent, _ := backend.(proxycore.Meter)
	memory, err := conntrack.New(ns.FD())
	if err != nil {
		return nil, errors.Join(err, backend.Close())
	}
	cleaner := proxycore.Cleaner(memory)
	if p.mutant != nil && p.mutant.Backend != nil {
		backend = p.mutant.Backend(backend, ns.FD())
	}
	if p.mutant != nil && p.mutant.Cleaner != nil {
		cleaner = p.mutant.Cleaner(cleaner)
	}
	observers, err := p.watch(ns, c, sent)
	if err != nil {
		return nil, errors.Join(err, backend.Close(), cleaner.Close())
	}
	made := proxycore.New(proxycore.Config{Node: c.node, Settings: c.settings, Mode: p.Mode}, backend, cleaner, observers...)
	switch {
	case p.mutant == nil:
		return proxycore.Keep(made, healPeriod), nil
	case p.mutant.State != nil:
		return misled{unchecked{made}, p.mutant.State}, nil
	}
	return unchecked{made}, nil
}

// healPeriod is how often our own core looks after its rules: a foreign flush is healed within this and one full sync.
const healPeriod = time.Second

// unchecked is a mutant's proxy: packets are to find it out, not a look at its rules.
type unchecked struct{ *proxycore.Proxy }

// misled is told another state than there is.
type misled struct {
	unchecked
	state func(*cluster.Snapshot) *cluster.Snapshot
}

// Apply is the core's, with another state.
func (m misled) Apply(ctx context.Context, s *cluster.Snapshot) error {
	return m.unchecked.Apply(ctx, m.state(s))
}

// Check finds nothing.
func (unchecked) Check(context.Context) error { return nil }
