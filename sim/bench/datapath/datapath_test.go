package datapath_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore"
	"svclab/reports/measure"
	"svclab/sim/bench/datapath"
	"svclab/sim/proxies"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func small(p ...proxies.Proxy) datapath.Options {
	return datapath.Options{Proxies: p, Services: datapath.MinServices, Endpoints: 2, Rounds: 2, Samples: 100}
}

// TestEveryRowHasSamples measures all works on our own proxies, in few rounds.
func TestEveryRowHasSamples(t *testing.T) {
	for _, p := range proxies.All {
		t.Run(p.Name, func(t *testing.T) {
			nstest.Need(t, append([]string{"veth", "bridge"}, p.Powers...)...)
			r := measure.Run{Seed: 1}
			if err := datapath.Run(t.Context(), small(p), &r); err != nil {
				t.Fatal(err)
			}
			if want := len(datapath.Works) * 2 * (1 + 4); len(r.Rows) != want {
				t.Errorf("%d rows, want %d", len(r.Rows), want)
			}
			for _, row := range r.Rows {
				want := 2
				if row.Unit == measure.Seconds {
					want = 200
				}
				if len(row.Samples) != want || row.Note != "" || slices.Min(row.Samples) <= 0 {
					t.Errorf("%+v", row)
				}
			}
		})
	}
}

// TestWhatIsNotTranslatedIsNoSample gives each Service the endpoints of another, or none of the connections an answer, and
// finds errors where samples would be.
func TestWhatIsNotTranslatedIsNoSample(t *testing.T) {
	nstest.Need(t, "nftables", "veth", "bridge")
	good, err := proxies.Find("nftables")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(routes []proxycore.Route)
		note  string
	}{
		"to another's endpoints": {func(routes []proxycore.Route) {
			for i := range routes {
				if routes[i].Addr == netip.MustParseAddr("10.96.0.46") {
					routes[i].Pool.Endpoints = routes[0].Pool.Endpoints
				}
			}
		}, "reach Service 37 of 40: a packet to 10.96.0.46:80 came to 10.160.0.1"},
		"to another node": {func(routes []proxycore.Route) {
			for i := range routes {
				if routes[i].Addr == netip.MustParseAddr("10.96.0.47") {
					routes[i].Pool.Endpoints = routes[0].Pool.Endpoints
				}
			}
		}, "reach Service 38 of 40: a connection to 10.96.0.47:80 was established, and it is not at one of 10.192.0.90:8080 … 10.192.0.91:8080: no answer came"},
		"nowhere": {func(routes []proxycore.Route) {
			for i := range routes {
				routes[i].Pool.Endpoints = nil
			}
		}, "reach Service 1 of 40: connect to 10.96.0.10:80: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			p := good
			p.Name = "nftables, spoilt"
			p.Backend = func(ns *nsnet.NS) (proxycore.Backend, error) {
				b, err := good.Backend(ns)
				return spoilt{b, c.spoil}, err
			}
			r := measure.Run{Seed: 1}
			o := small(p, good)
			o.Works = []string{"new-connection"}
			if err := datapath.Run(t.Context(), o, &r); !errors.Is(err, datapath.ErrFailed) || err.Error() != "not all could be measured: 8 of 18 rows" {
				t.Errorf("error %v", err)
			}
			for _, row := range r.Rows {
				if row.Proxy == p.Name != (len(row.Samples) == 0) || row.Proxy == p.Name != strings.Contains(row.Note, c.note) {
					t.Errorf("%+v", row)
				}
			}
		})
	}
}

// spoilt is a backend that is told other routes.
type spoilt struct {
	proxycore.Backend
	edit func(routes []proxycore.Route)
}

func (s spoilt) Program(ctx context.Context, c proxycore.Change) error {
	c.Add = slices.Clone(c.Add)
	s.edit(c.Add)
	return s.Backend.Program(ctx, c)
}

// TestBudgetIsSaid makes one round, and says how many were asked for.
func TestBudgetIsSaid(t *testing.T) {
	nstest.Need(t, "nftables", "veth", "bridge")
	p, err := proxies.Find("nftables")
	if err != nil {
		t.Fatal(err)
	}
	o := small(p)
	o.Works, o.Rounds, o.Budget = []string{"new-flow"}, 1000, 1
	r := measure.Run{Seed: 1}
	if err := datapath.Run(t.Context(), o, &r); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1 of 1000 rounds were made within --budget 1ns"}; !slices.Equal(r.Notes, want) {
		t.Errorf("notes %q, want %q", r.Notes, want)
	}
}

// TestStoppedRun keeps what it has.
func TestStoppedRun(t *testing.T) {
	nstest.Need(t, "nftables", "veth", "bridge")
	p, err := proxies.Find("nftables")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o := small(p)
	o.Rounds = 1000
	o.Progress = func(_, _ float64, text string) {
		if strings.HasPrefix(text, "round 3 ") {
			cancel()
		}
	}
	r := measure.Run{Seed: 1}
	if err := datapath.Run(ctx, o, &r); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if len(r.Rows) == 0 || len(r.Rows[0].Samples) != 200 || !slices.Equal(r.Notes, []string{"stopped in round 3 of 1000"}) {
		t.Errorf("notes %q, %d rows", r.Notes, len(r.Rows))
	}
}
