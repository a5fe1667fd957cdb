package rulesync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"svclab/nsnet"
	"svclab/proxycore/cluster"
	"svclab/reports/measure"
	"svclab/sim/bench/load"
	"svclab/sim/bench/rig"
	"svclab/sim/proxies"
)

// site is one proxy at one size: a rig with nothing in its kernel, and what is measured there.
type site struct {
	run      *measure.Run
	at       measure.Row // the conditions of all rows
	proxy    proxies.Proxy
	rig      *rig.Rig
	prober   *prober
	commits  *commits
	cluster  *load.Cluster
	state    *cluster.Snapshot
	has      map[int][]int // the endpoints of Services that are others than at first
	fresh    int
	rng      *rand.Rand
	patience time.Duration   // how long a change may take
	quiet    time.Duration   // between two changes
	never    map[string]bool // works that the proxy did not do in time: once is enough
	nevers   []string
}

// forget makes connection tracking of the node forget what probes leave behind, within a second: none of them is a connection,
// and nothing may be remembered of one when its port is used again.
var forget = []nsnet.Setting{
	{Key: "net.netfilter.nf_conntrack_tcp_timeout_syn_sent", Value: "1", Optional: true},
	{Key: "net.netfilter.nf_conntrack_tcp_timeout_syn_recv", Value: "1", Optional: true},
	{Key: "net.netfilter.nf_conntrack_tcp_timeout_close", Value: "1", Optional: true},
}

func openSite(ctx context.Context, run *measure.Run, j job, c *load.Cluster, endpoints string, rng *rand.Rand) (_ *site, err error) {
	s := &site{
		run: run, at: measure.Row{Proxy: j.Name, Services: j.services, Endpoints: endpoints}, proxy: j.Proxy, cluster: c, state: c.Snapshot(),
		has: map[int][]int{}, rng: rng, quiet: 10 * time.Millisecond, never: map[string]bool{},
	}
	if s.bundles() {
		s.quiet = minSyncPeriod + 100*time.Millisecond - calmFor // which has passed already
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.rig, err = rig.OpenSilent(ctx, &j.Proxy); err != nil {
		return nil, err
	}
	if err := s.rig.Node().Sysctls(forget...); err != nil {
		return nil, err
	}
	if s.prober, err = newProber(s.rig); err != nil {
		return nil, err
	}
	s.commits, err = newCommits(s.rig.Node(), j.Proxy.Name)
	return s, err
}

// close may be called twice, and after half an opening.
func (s *site) close() error {
	if s.prober != nil {
		s.prober.close()
	}
	if s.commits != nil {
		s.commits.close()
	}
	if s.rig == nil {
		return nil
	}
	return s.rig.Close()
}

// pid of the proxy, 0 when it is none of its own, or does not run yet.
func (s *site) pid() int {
	if p, ok := s.rig.Proxy().(process); ok {
		return p.PID()
	}
	return 0
}

func (s *site) isProcess() bool {
	_, ok := s.rig.Proxy().(process)
	return ok
}

// add puts samples into the row of a work and a clock.
func (s *site) add(work, clock string, unit measure.Unit, note string, samples ...float64) *measure.Row {
	row := s.at
	row.Work, row.Clock, row.Unit, row.Note = work, clock, unit, note
	return s.run.Add(row, samples...)
}

// tell adds a note to a row, once.
func (s *site) tell(work, clock string, unit measure.Unit, note string) {
	row := s.add(work, clock, unit, "")
	if !strings.Contains(row.Note, note) {
		row.Note = strings.TrimPrefix(row.Note+"; "+note, "; ")
	}
}

// endpointsOf are a Service's now.
func (s *site) endpointsOf(i int) []int {
	if list, ok := s.has[i]; ok {
		return list
	}
	return s.cluster.EndpointsOf(i)
}

func (s *site) addrs(endpoints []int) (out []netip.Addr) {
	for _, e := range endpoints {
		out = append(out, s.cluster.Endpoint(e).Addr())
	}
	return out
}

func (s *site) newEndpoint() int {
	s.fresh++
	return s.cluster.Fresh(s.fresh)
}

// give makes the state in which a Service has these endpoints.
func (s *site) give(i int, endpoints []int) {
	s.state = s.cluster.With(s.state, i, endpoints)
	s.has[i] = endpoints
}

// replaced gives a Service a new endpoint in the place of another, and says which.
func (s *site) replaced(i, slot int) (server netip.Addr) {
	list := slices.Clone(s.endpointsOf(i))
	list[slot] = s.newEndpoint()
	s.give(i, list)
	return s.cluster.Endpoint(list[slot]).Addr()
}

// pick is some Service that has endpoints.
func (s *site) pick() int {
	for {
		if i := s.rng.IntN(s.cluster.Services()); len(s.endpointsOf(i)) > 0 {
			return i
		}
	}
}

// some are up to n Services with endpoints, each once, the first, the middle and the last among them if they have any.
func (s *site) some(n int) []int {
	chosen := map[int]bool{}
	total := s.cluster.Services()
	for _, i := range []int{0, total / 2, total - 1} {
		if len(s.endpointsOf(i)) > 0 {
			chosen[i] = true
		}
	}
	for _, i := range s.rng.Perm(total) {
		if len(chosen) >= n {
			break
		}
		if len(s.endpointsOf(i)) > 0 {
			chosen[i] = true
		}
	}
	return slices.Sorted(maps.Keys(chosen))
}

// written is a state on its way to the proxy.
type written struct {
	began   time.Time          // just before
	applied chan error         // how it went
	took    chan time.Duration // the call
}

// write gives the proxy the state that the site has now, from a goroutine of its own: a proxy in this process programs it
// meanwhile. It returns when that has begun.
func (s *site) write(ctx context.Context) written {
	w := written{applied: make(chan error, 1), took: make(chan time.Duration, 1)}
	state, begun := s.state, make(chan struct{})
	go func() {
		defer close(w.applied)
		w.began = time.Now()
		close(begun)
		err := s.rig.Apply(ctx, state)
		w.took <- time.Since(w.began)
		w.applied <- err
	}()
	<-begun
	return w
}

// measured applies the state, waits for the watches, and writes down what there is to know.
func (s *site) measured(ctx context.Context, work, note string, o *observation) error {
	before, err := s.says(ctx)
	if err != nil && s.pid() != 0 && !s.unknown() {
		return fmt.Errorf("read the metrics of %s: %w", s.at.Proxy, err)
	}
	if _, err := s.commits.look(); err != nil {
		return err
	}
	again := s.undisturbed()
	defer again()
	state := s.write(ctx)
	began := state.began
	for _, w := range o.watches {
		w.began = began
	}
	o.until, o.applied = began.Add(s.patience), state.applied
	err = s.observe(ctx, o)
	call := <-state.took // the writer has ended: the site is nobody else's
	if err != nil {
		return s.failed(work, err)
	}
	var first, commit time.Time
	seen := true
	for _, w := range o.watches {
		if w.first.at.After(first) {
			first = w.first.at
		}
		if w.commit.After(commit) {
			commit = w.commit
		}
		seen = seen && !w.commit.IsZero()
	}
	s.add(work, FirstPacket, measure.Seconds, note, first.Sub(began).Seconds())
	s.committed(work, seen, commit.Sub(began))
	s.own(ctx, work, before, call)
	return s.rest(ctx)
}

func (s *site) committed(work string, seen bool, after time.Duration) {
	switch {
	case seen:
		s.add(work, Commit, measure.Seconds, "", after.Seconds())
	case s.commits.legacy:
		s.tell(work, Commit, measure.Seconds, "ip_tables does not tell of a commit that leaves the number of rules")
	default:
		s.tell(work, Commit, measure.Seconds, "no commit was seen before a packet")
	}
	if seen && s.commits.legacy {
		s.tell(work, Commit, measure.Seconds, "the number of rules is looked at every 2 ms")
	}
}

// own writes down what the proxy says of the syncs since.
func (s *site) own(ctx context.Context, work string, before own, call time.Duration) {
	ours := !s.bundles() && !s.unknown()
	if ours && !s.isProcess() {
		s.add(work, Apply, measure.Seconds, "", call.Seconds())
	}
	if s.unknown() {
		s.tell(work, OwnMetric, measure.Seconds, "nobody knows its metrics")
		return
	}
	diff, ok := s.saysSince(ctx, before)
	if !ok {
		s.tell(work, OwnMetric, measure.Seconds, "it has counted no sync")
		return
	}
	s.add(work, OwnMetric, measure.Seconds, "", diff.seconds)
	if diff.syncs > 1 {
		s.tell(work, OwnMetric, measure.Seconds, "the sum of several syncs, where there were several")
	}
	if ours && s.isProcess() {
		s.add(work, Apply, measure.Seconds, "as the process says", diff.full+diff.partial)
	}
	if diff.programs > 0 {
		s.add(work, OwnLatency, measure.Seconds, "the mean of what it counted", diff.since/diff.programs)
	}
	switch {
	case diff.netlink > 0:
		s.add(work, NetlinkBytes, measure.Bytes, "", diff.netlink)
	case diff.netlink < 0 && work == FirstSync:
		s.tell(work, NetlinkBytes, measure.Bytes, "it does not say")
	}
}

// bundles reports whether the proxy holds changes back, to do them together.
func (s *site) bundles() bool { return strings.HasPrefix(s.proxy.Name, "kube-proxy/") }

// unknown reports whether nobody knows the proxy's metrics, because a file says how to run it.
func (s *site) unknown() bool { return strings.HasPrefix(s.proxy.Name, "exec:") }

// rest is what must pass before the next change, lest it be held back for the last one's sake.
func (s *site) rest(ctx context.Context) error {
	if !sleep(ctx, s.quiet) {
		return context.Cause(ctx)
	}
	return nil
}

// failed tells of a change that never came in force; that is a result. Other errors are the caller's.
func (s *site) failed(work string, err error) error {
	var late errPatience
	if !errors.As(err, &late) {
		return err
	}
	s.tell(work, FirstPacket, measure.Seconds, fmt.Sprintf("not in force after %s", s.patience.Round(time.Second)))
	s.never[work] = true
	return errNever{fmt.Sprintf("%s with %d Services: %s: not in force after %s", s.at.Proxy, s.at.Services, work, s.patience.Round(time.Second))}
}

// errNever: a proxy did not do what it should within its time.
type errNever struct{ what string }

func (e errNever) Error() string { return e.what }

// forgive takes down that a change never came in force, which is no reason to stop. Other errors are.
func (s *site) forgive(err error) error {
	var never errNever
	if errors.As(err, &never) {
		s.nevers = append(s.nevers, never.what)
		return nil
	}
	return err
}
