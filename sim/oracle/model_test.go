package oracle

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

var (
	_ world.World   = (*Model)(nil)
	_ world.Barrier = (*Model)(nil)
)

// story is a bundled scenario in short, judged by the true rules.
type story struct {
	name string
	run  func(j *judge)
}

var stories = []story{
	{"myservice", func(j *judge) {
		j.apply(both("web-1", "web-2"))
		const clients = "pod/client node/node-1 client/laptop"
		j.ask(20, clients, "172.20.0.1:80/TCP")
		j.ask(20, clients, "[fd20::1]:80/TCP")
		j.fair("pod/client 172.20.0.1:80/TCP")
		j.apply(both("web-2"))
		j.ask(20, clients, "172.20.0.1:80/TCP")
	}},
	{"udp-sender", func(j *judge) {
		j.apply(both("web-1"))
		j.session("pod/client 172.20.0.1:53/UDP")
		j.apply(both("web-2"))
		j.session("pod/client 172.20.0.1:53/UDP")
	}},
	{"hairpin", func(j *judge) {
		j.apply(both("web-1"))
		j.ask(3, "pod/web-1 pod/client", "172.20.0.1:80/TCP")
		j.apply(both("web-1", "web-2"))
		j.ask(20, "pod/web-1 pod/web-2 pod/client", "172.20.0.1:53/UDP")
	}},
	{"no-endpoints", func(j *judge) {
		j.apply(both())
		const clients = "pod/client node/node-1 client/laptop"
		j.ask(2, clients, "172.20.0.1:80/TCP")
		j.ask(2, clients, "172.20.0.1:53/UDP")
		j.ask(2, clients, "172.20.0.1:81/TCP")
		j.ask(2, clients, "172.20.0.77:80/TCP")
	}},
	{"scale", func(j *judge) {
		j.apply(both("web-1"))
		j.ask(20, "pod/client", "172.20.0.1:80/TCP")
		j.apply(both("web-1", "web-2", "web-3"))
		j.ask(60, "pod/client node/node-2", "172.20.0.1:80/TCP")
		j.apply(both("web-1"))
		j.ask(60, "pod/client", "172.20.0.1:80/TCP")
	}},
}

type judge struct {
	t      *testing.T
	world  world.World
	h      *History
	now    time.Time
	flows  int
	wrongs []string
}

func (j *judge) tick() time.Time {
	j.now = j.now.Add(time.Millisecond)
	return j.now
}

func (j *judge) apply(s *cluster.Snapshot) {
	j.t.Helper()
	j.h.Begin(s, j.tick())
	if err := j.world.Apply(context.Background(), s); err != nil {
		j.t.Fatal(err)
	}
	j.h.Done(j.tick())
}

func (j *judge) send(f world.Flow) world.Observation {
	j.t.Helper()
	j.tick()
	o, err := j.world.Send(context.Background(), f)
	if err != nil {
		j.t.Fatal(err)
	}
	j.flows++
	if err := Expect(j.h, f, o.At, o.At.Add(o.Took)).Permits(o); err != nil {
		j.wrongs = append(j.wrongs, err.Error())
	}
	j.h.Observe(f, o)
	return o
}

func (j *judge) ask(n int, from, to string) {
	for _, c := range strings.Fields(from) {
		for range n {
			j.send(flow(c + " " + to))
		}
	}
}

func (j *judge) session(s string) {
	f := flow(s)
	f.Session = "sender"
	for range 3 {
		j.send(f)
	}
}

// fair is a stand-in for the engine's, in its words: this package must not know package stat. 5214 flows show a bias of 10 %.
func (j *judge) fair(s string) {
	const n = 5214
	counts, turns := map[string]int{}, 0
	last := ""
	for range n {
		o := j.send(flow(s))
		if who := o.Server.String(); who != last {
			last = who
			turns++
		}
		counts[last]++
	}
	for _, c := range []string{"10.1.0.1:5000", "10.2.0.2:5000"} {
		if z := (float64(counts[c]) - n/2) / math.Sqrt(n/4.0); math.Abs(z) > 4.9 {
			j.wrongs = append(j.wrongs, "unfair: "+fmt.Sprint(counts))
		}
		if counts[c] == 0 {
			j.wrongs = append(j.wrongs, c+" never answered, though its share is 50 %")
		}
	}
	if z := (float64(turns) - n/2) / math.Sqrt(n/4.0); math.Abs(z) > 4.9 && counts[last] < n {
		j.wrongs = append(j.wrongs, fmt.Sprintf("a choice depends on the one before: %d turns", turns))
	}
}

func tell(t *testing.T, s story, w world.World) *judge {
	j := &judge{t: t, world: w, h: NewHistory(places()), now: at(0)}
	clock := func() time.Time { return j.now }
	w.(*Model).Now = clock
	s.run(j)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	return j
}

func TestModelSatisfiesEveryStory(t *testing.T) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			j := tell(t, s, NewModel(places(), rand.New(rand.NewPCG(1, 2))))
			if j.flows == 0 || len(j.wrongs) > 0 {
				t.Errorf("%d flows, wrong: %q", j.flows, j.wrongs)
			}
		})
	}
}

// Every mutant breaks rows that there are. The bundled scenarios kill them (sim/engine).
func TestMutantsBreakRows(t *testing.T) {
	names := map[string]bool{}
	for _, m := range Mutants {
		if len(m.Breaks) == 0 || m.Bug == "" || m.Sentence == "" || names[m.Name] {
			t.Errorf("mutant %s is there twice, or lacks its bug, its rows or its sentence", m.Name)
		}
		names[m.Name] = true
		for _, row := range m.Breaks {
			if !Known(row) {
				t.Errorf("mutant %s breaks row %s, which is none", m.Name, row)
			}
		}
	}
}

// The model makes up what a lab would see: ports are not used twice, a socket keeps its own, silence takes its time.
func TestModelObservations(t *testing.T) {
	ctx := context.Background()
	m := NewModel(places(), rand.New(rand.NewPCG(1, 2)))
	if err := m.Apply(ctx, both("web-1")); err != nil {
		t.Fatal(err)
	}
	send := func(f world.Flow) world.Observation {
		t.Helper()
		o, err := m.Send(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	f := flow("pod/client 172.20.0.1:80/TCP")
	first, second := send(f), send(f)
	if first.Client.Port() == second.Client.Port() || first.Client.Addr().String() != "10.1.0.9" {
		t.Errorf("clients %s and %s: want 10.1.0.9 and two ports", first.Client, second.Client)
	}
	if first.Source != first.Client || first.Peer != f.To {
		t.Errorf("source %s, peer %s: want %s and %s", first.Source, first.Peer, first.Client, f.To)
	}
	f.Session = "s"
	if a, b := send(f), send(f); a.Client != b.Client {
		t.Errorf("one socket is %s and %s", a.Client, b.Client)
	}
	f.Session, f.SourcePort = "", 4242
	if o := send(f); o.Client.Port() != 4242 {
		t.Errorf("client %s, want port 4242", o.Client)
	}
	silent := flow("pod/client 172.20.0.9:80/TCP")
	if o := send(silent); o.Outcome != world.Silent || o.Took != 5*time.Second {
		t.Errorf("%s after %s, want silent after 5 s", o.Outcome, o.Took)
	}
	silent.Wait = 300 * time.Millisecond
	if o := send(silent); o.Took != silent.Wait {
		t.Errorf("silent for %s, want %s", o.Took, silent.Wait)
	}
	if _, err := m.Send(ctx, flow("pod/nobody 172.20.0.1:80/TCP")); err == nil || err.Error() != "model: no pod/nobody" {
		t.Errorf("got %v, want that there is no such pod", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := m.Send(ctx, f); err == nil || err.Error() != "model: closed" {
		t.Errorf("got %v, want that it is closed", err)
	}
}

func TestByWeight(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	counts := make([]int, 4)
	for range 10_000 {
		counts[byWeight(world.Flow{}, []float64{0.5, 0, 0.25}, rng)]++
	}
	for i, want := range []int{5000, 0, 2500, 2500} {
		if d := counts[i] - want; d*d > 5*5*2500 {
			t.Errorf("index %d came %d times, want about %d", i, counts[i], want)
		}
	}
	if got := byWeight(world.Flow{}, nil, rng); got != 0 {
		t.Errorf("of nothing: %d, want 0", got)
	}
}
