package evidence_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"svclab/nsnet/nstest"
	"svclab/proxycore/cluster"
	"svclab/sim/engine"
	"svclab/sim/lab"
	"svclab/sim/proxies"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// planned is a world that only remembers what it was told first.
type planned struct {
	topology *world.Topology
	state    *cluster.Snapshot
}

var errPlanned = errors.New("planned")

func (p *planned) Apply(_ context.Context, s *cluster.Snapshot) error { p.state = s; return errPlanned }
func (p *planned) Send(context.Context, world.Flow) (world.Observation, error) {
	return world.Observation{}, errPlanned
}
func (p *planned) Close() error { return nil }

// rig is a lab with the state of testdata/scenario.yaml.
type rig struct {
	*planned
	lab  *lab.Lab
	name string // of the proxy
	is6  bool
}

func plan(t testing.TB, is6 bool, mode cluster.Mode) *planned {
	t.Helper()
	text, err := os.ReadFile("testdata/scenario.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Parse("testdata/scenario.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	p := &planned{}
	for _, v := range s.Variants() {
		if (v.Family == scenario.IPv6) != is6 {
			continue
		}
		engine.Run(context.Background(), v, engine.Options{Proxy: "none", Mode: mode, Open: func(_ context.Context, top *world.Topology, _ *rand.Rand) (world.World, error) {
			p.topology = top
			return p, nil
		}})
	}
	if p.state == nil {
		t.Fatal("the scenario was not planned")
	}
	return p
}

// named finds a proxy, and skips with proof where it cannot run.
func named(t testing.TB, name string) proxies.Proxy {
	t.Helper()
	p, err := proxies.Foreign{Binary: os.Getenv("SVCLAB_KUBE_PROXY")}.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Missing(); err != nil {
		if strings.Contains(os.Getenv(nstest.RequireEnv), "kube-proxy") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	nstest.Need(t, append([]string{"nftables", "veth", "bridge"}, p.Powers...)...)
	return p
}

func open(t testing.TB, proxy string, is6 bool) *rig {
	t.Helper()
	p := named(t, proxy)
	r := &rig{planned: plan(t, is6, p.Mode), name: proxy, is6: is6}
	var err error
	if r.lab, err = lab.Open(t.Context(), lab.Options{Topology: r.topology, Proxy: p.Opener(r.topology)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.lab.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := r.lab.Apply(t.Context(), r.state); err != nil {
		t.Fatal(err)
	}
	if err := r.lab.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// service is an address and port of a Service: its ClusterIP, or for "edge" that of its load balancer.
func (r *rig) service(t testing.TB, name string, port uint16) netip.AddrPort {
	t.Helper()
	for s := range r.state.Services() {
		if s.Name != name {
			continue
		}
		addr := s.ClusterIPs[0]
		for _, in := range s.Object.Status.LoadBalancer.Ingress {
			addr = netip.MustParseAddr(in.IP)
		}
		return netip.AddrPortFrom(addr, port)
	}
	t.Fatalf("there is no Service %s", name)
	return netip.AddrPort{}
}

func (r *rig) host(t testing.TB, kind world.Kind, name string) *world.Host {
	t.Helper()
	p := world.Place{Kind: kind, Name: name}
	if kind == world.Pod {
		p.Namespace = "default"
	}
	h := r.topology.Find(p)
	if h == nil {
		t.Fatalf("there is no %s", p)
	}
	return h
}
