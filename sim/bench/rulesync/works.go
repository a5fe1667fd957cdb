package rulesync

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"svclab/reports/measure"
	"svclab/sim/bench/load"
)

// The works, by the names that rows have.
const (
	FirstSync        = "first sync"
	Restart          = "restart"
	EndpointReplaced = "endpoint replaced"
	EndpointAdded    = "endpoint added"
	EndpointRemoved  = "endpoint removed"
	ServiceAdded     = "Service added"
	ServiceRemoved   = "Service removed"
	ManyAdded        = "100 Services added"
	ManyRemoved      = "100 Services removed"
	Rolling          = "rolling update of 100 pods"
)

// The clocks, and what else is measured.
const (
	FirstPacket  = "first correct packet" // from the write until a packet was answered as it could not have been before
	Commit       = "commit"               // from the write until the kernel has the rules that let that packet through
	OwnMetric    = "own metric"           // how long the proxy says that it took
	OwnLatency   = "own network programming latency"
	Apply        = "apply" // of our own: from the state to the commit
	Wrong        = "wrong packets"
	Packets      = "packets"
	PeakRSS      = "peak RSS"
	ChildRSS     = "peak RSS of a child"
	CPU          = "CPU"
	Kernel       = "kernel memory"
	Rules        = "rules"
	Elements     = "elements"
	NetlinkBytes = "netlink bytes"
)

// change is one of the five kinds. It writes the site's next state.
type change struct {
	work string
	do   func(s *site) (*watch, string)
}

// The first of them make room for the others: what is added is removed again.
var changes = [][]change{
	{{EndpointReplaced, replaceOne}},
	{{EndpointAdded, addOne}, {EndpointRemoved, removeOne}},
	{{ServiceAdded, addService}, {ServiceRemoved, removeService}},
}

func replaceOne(s *site) (*watch, string) {
	i := s.pick()
	n := len(s.endpointsOf(i))
	return appears(load.Front(i), s.replaced(i, s.rng.IntN(n))), one(n)
}

func addOne(s *site) (*watch, string) {
	i := s.pick()
	list := append(slices.Clone(s.endpointsOf(i)), s.newEndpoint())
	s.give(i, list)
	return appears(load.Front(i), s.cluster.Endpoint(list[len(list)-1]).Addr()), one(len(list))
}

func one(n int) string {
	return fmt.Sprintf("one packet of %d goes to the new endpoint", n)
}

// removeOne takes an endpoint from the Service that was given one too many.
func removeOne(s *site) (*watch, string) {
	i := -1
	for k, list := range s.has {
		if k < s.cluster.Services() && len(list) > len(s.cluster.EndpointsOf(k)) && (i < 0 || k < i) {
			i = k
		}
	}
	if i < 0 {
		panic("no Service has an endpoint more than it began with") // addOne goes before
	}
	list := slices.Clone(s.endpointsOf(i))
	n, slot := len(list), s.rng.IntN(len(list))
	gone := list[slot]
	s.give(i, slices.Delete(list, slot, slot+1))
	return leaves(load.Front(i), s.cluster.Endpoint(gone).Addr(), n),
		fmt.Sprintf("the first packet after the commit and after the last wrong one, where one of %d would be wrong, and %d were right after it", n, enough(n))
}

func addService(s *site) (*watch, string) {
	i := s.cluster.Services()
	s.give(i, s.cluster.EndpointsOf(i))
	return appears(load.Front(i), s.addrs(s.endpointsOf(i))...), ""
}

func removeService(s *site) (*watch, string) {
	i := s.cluster.Services()
	s.state = s.cluster.Without(s.state, i)
	delete(s.has, i)
	return ends(load.Front(i)), ""
}

// round does each of the five once, in random order.
func (s *site) round(ctx context.Context) error {
	order := slices.Clone(changes)
	s.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for _, group := range order {
		if slices.ContainsFunc(group, func(c change) bool { return s.never[c.work] }) {
			continue
		}
		for _, c := range group {
			w, note := c.do(s)
			if err := s.forgive(s.measured(ctx, c.work, note, &observation{watches: []*watch{w}})); err != nil {
				return err
			}
			if s.never[c.work] {
				break // what was never added cannot be seen to go
			}
		}
	}
	return nil
}

// sampled is how many fronts stand for all of them.
const sampled = 100

// firstSync starts the proxy at an empty kernel.
func (s *site) firstSync(ctx context.Context, patience time.Duration) (took time.Duration, err error) {
	s.patience = patience
	var o observation
	for _, i := range s.some(sampled) {
		o.watches = append(o.watches, appears(load.Front(i), s.addrs(s.endpointsOf(i))...))
	}
	memory := steadyMemory(ctx)
	family := watchChildren(s.pid)
	note := fmt.Sprintf("until the last of %d Services, the first, the middle and the last among them, has answered", len(o.watches))
	err = s.measured(ctx, FirstSync, note, &o)
	child := family.end()
	if err != nil {
		return 0, err
	}
	for _, w := range o.watches {
		took = max(took, w.first.at.Sub(w.began))
	}
	s.used(FirstSync, usage{}, child)
	s.add(FirstSync, Kernel, measure.Bytes, "of the whole machine, after less before", float64(kernelMemory()-memory))
	s.counted()
	return took, nil
}

// used writes down what the process has used since.
func (s *site) used(work string, before usage, child int64) {
	if !s.isProcess() {
		s.tell(work, PeakRSS, measure.Bytes, "it is no process of its own")
		return
	}
	u, err := usageOf(s.pid())
	if err != nil {
		s.tell(work, PeakRSS, measure.Bytes, err.Error())
		return
	}
	s.add(work, CPU, measure.Seconds, "with what it has started; to 0.01 s", u.cpu-before.cpu)
	if work != FirstSync {
		return
	}
	s.add(work, PeakRSS, measure.Bytes, "VmHWM of the process, without what it has started", float64(u.peak))
	if child > 0 {
		s.add(work, ChildRSS, measure.Bytes, "VmHWM of the largest program that it has started, as seen every 50 ms", float64(child))
	}
}

func (s *site) cpu() usage {
	if !s.isProcess() {
		return usage{}
	}
	u, _ := usageOf(s.pid()) // where it cannot be read, used tells
	return u
}

// counted writes down how much the kernel holds now.
func (s *site) counted() {
	rules, elements, err := s.rules()
	if err != nil {
		s.tell(FirstSync, Rules, measure.Count, err.Error())
		return
	}
	s.add(FirstSync, Rules, measure.Count, "", float64(rules))
	if s.commits.legacy {
		s.tell(FirstSync, Rules, measure.Count, "of IPv4, the ends of chains included")
	} else {
		s.add(FirstSync, Elements, measure.Count, "of sets and maps", float64(elements))
	}
}

// many adds 100 Services in one write, and removes them in another.
func (s *site) many(ctx context.Context) error {
	first := s.cluster.Services() + 1
	var come, go1 observation
	for i := first; i < first+100; i++ {
		s.give(i, s.cluster.EndpointsOf(i))
		come.watches = append(come.watches, appears(load.Front(i), s.addrs(s.endpointsOf(i))...))
		go1.watches = append(go1.watches, ends(load.Front(i)))
	}
	if err := s.measured(ctx, ManyAdded, "until the last of them has answered", &come); err != nil {
		return err
	}
	for i := first; i < first+100; i++ {
		s.state = s.cluster.Without(s.state, i)
		delete(s.has, i)
	}
	return s.measured(ctx, ManyRemoved, "until none of them answers", &go1)
}

// restart ends the proxy as kill -9 does, and starts another: while it was away an endpoint was replaced, which the new one must
// notice. Packets flow to other Services all the while, and a second longer.
func (s *site) restart(ctx context.Context, patience time.Duration) error {
	defer func(was time.Duration) { s.patience = was }(s.patience)
	s.patience = patience
	i := s.pick()
	var o observation
	for _, other := range s.some(50) {
		if other == i {
			continue
		}
		g := guard{front: load.Front(other), servers: map[netip.Addr]bool{}}
		for _, a := range s.addrs(s.endpointsOf(other)) {
			g.servers[a] = true
		}
		o.guards = append(o.guards, g)
	}
	if err := s.rig.Abandon(); err != nil {
		return err
	}
	if err := s.rig.Renew(); err != nil {
		return err
	}
	n := len(s.endpointsOf(i))
	o.watches = []*watch{appears(load.Front(i), s.replaced(i, s.rng.IntN(n)))}
	o.linger = time.Second
	if err := s.measured(ctx, Restart, "from the start of the new process until it has put in force what has changed before; "+one(n), &o); err != nil {
		return err
	}
	s.add(Restart, Wrong, measure.Count, "", float64(o.tally.wrong()))
	s.add(Restart, Packets, measure.Count, "to other Services, from the start of the new process on", float64(o.tally.packets))
	if o.tally.wrong() > 0 {
		s.tell(Restart, Wrong, measure.Count, o.tally.String())
	}
	return nil
}
