package oracle

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// Model is a World without packets: it does what the rules say, and where they leave a choice, it chooses as they
// weigh. A scenario that fails in it cannot be satisfied. That one passes proves no more than that.
type Model struct {
	// Now is the clock, time.Now unless it is replaced before the first use.
	Now func() time.Time

	mu       sync.Mutex
	history  *History
	rng      *rand.Rand
	pick     func(f world.Flow, weights []float64, rng *rand.Rand) int
	twist    func(m *Model, from *world.Host, f world.Flow, o *world.Observation) // mutants only
	misread  func(s *cluster.Snapshot) *cluster.Snapshot                          // mutants only
	unwell   func(m *Model, c world.HealthCheck, a *world.HealthAnswer)           // mutants only
	changes  int                                                                  // how often Apply was called
	ports    map[world.Place]uint16
	sessions map[sessionKey]uint16
	closed   bool
}

// NewModel makes a Model of these places; rng decides between equals.
func NewModel(t *world.Topology, rng *rand.Rand) *Model {
	return &Model{
		Now: time.Now, history: NewHistory(t), rng: rng, pick: byWeight,
		ports: map[world.Place]uint16{}, sessions: map[sessionKey]uint16{},
	}
}

// Apply puts the state in force at once.
func (m *Model) Apply(ctx context.Context, s *cluster.Snapshot) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes++
	if m.misread != nil {
		s = m.misread(s)
	}
	now := m.Now()
	m.history.Begin(s, now)
	m.history.Done(now)
	return nil
}

// Barrier is always reached: Apply is one.
func (m *Model) Barrier(context.Context) error { return nil }

// Close ends it. It may be called twice.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// The model takes as long as its computation; a flow that stays silent says that it has waited.
const (
	patience    = 5 * time.Second
	firstPort   = 1024
	clusterSide = 32768 // where masqueraded ports begin
)

// Send makes up what the rules permit.
func (m *Model) Send(ctx context.Context, f world.Flow) (world.Observation, error) {
	if err := ctx.Err(); err != nil {
		return world.Observation{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return world.Observation{}, errors.New("model: closed")
	}
	from := m.history.places[f.From]
	if from == nil {
		return world.Observation{}, errors.New("model: no " + f.From.String())
	}
	client := netip.AddrPortFrom(from.AddrOf(f.To.Addr()), m.port(f))
	o := world.Observation{Client: client, At: m.Now()}
	m.history.mu.Lock()
	a := m.history.latest(f, o.At)
	m.history.mu.Unlock()
	weights := make([]float64, len(a.Cases))
	for i, c := range a.Cases {
		weights[i] = c.Weight
	}
	if i := m.pick(f, weights, m.rng); i < len(a.Cases) {
		c := a.Cases[i]
		o.Outcome, o.Server, o.Source, o.Peer = world.Answered, c.Server, client, f.To
		if len(c.Sources) > 0 && c.Sources[0] != client.Addr() {
			o.Source = netip.AddrPortFrom(c.Sources[0], clusterSide+uint16(m.rng.IntN(1<<15)))
		}
	} else if len(a.Mute) > 0 {
		m.mute(&o, f, from, a.Mute[0])
	} else {
		return world.Observation{}, errors.New("model: the rules say nothing about " + f.String())
	}
	if o.Took == 0 {
		o.Took = m.Now().Sub(o.At)
	}
	if m.twist != nil {
		m.twist(m, from, f, &o)
	}
	m.history.Observe(f, o)
	return o, nil
}

func (m *Model) mute(o *world.Observation, f world.Flow, from *world.Host, fate world.Outcome) {
	o.Outcome = fate
	switch fate {
	case world.Silent:
		o.Took = patience
		if f.Wait > 0 {
			o.Took = f.Wait
		}
	case world.Refused, world.Unreachable:
		name := nodeOf(from)
		if name == "" {
			name = m.history.entry(f.Via)
		}
		if node := m.history.places[world.Place{Kind: world.Node, Name: name}]; node != nil {
			o.ICMPFrom = node.AddrOf(f.To.Addr())
		}
	}
}

// port is the client's: the flow's own, that of its socket, or the next of its place.
func (m *Model) port(f world.Flow) uint16 {
	if f.SourcePort != 0 {
		return f.SourcePort
	}
	key := sessionOf(f)
	if f.Session != "" && m.sessions[key] != 0 {
		return m.sessions[key]
	}
	p := max(m.ports[f.From], firstPort-1) + 1
	if p == 0 {
		p = firstPort
	}
	m.ports[f.From] = p
	if f.Session != "" {
		m.sessions[key] = p
	}
	return p
}

// byWeight returns each index with its weight's probability, and len(weights) with what is missing to 1.
func byWeight(_ world.Flow, weights []float64, rng *rand.Rand) int {
	const rounding = 1e-9
	at := rng.Float64()
	for i, w := range weights {
		if at -= w; at < 0 || i == len(weights)-1 && at < rounding {
			return i
		}
	}
	return len(weights)
}
