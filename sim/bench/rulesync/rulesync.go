// Package rulesync measures how long a Service proxy takes to put a change in force, and what it uses for that: kube-proxy and
// svclab's own, each a process fed by an API server, in a rig of their own, on clusters of any size.
//
// The clock starts just before the state is set in the API server. It stops thrice: when a new connection through the data path
// is answered as it could not have been answered before; when the kernel was seen to have taken the rules; and when the proxy
// itself says so in its metrics. The first is the truth, and the others show where it comes from, or who lies.
//
// A probe is a TCP SYN to a Service's cluster IP, from a source port that is not used again for long. It goes through the
// client's wire, the node's rules and connection tracking to the pod, where this package answers it with the pod's address for
// a sequence number, and back the same way (segment.go, prober.go). That is the way of every first packet, without the cost
// of sockets: some 20 µs for a probe, all on one goroutine.
package rulesync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"svclab/reports/measure"
	"svclab/sim/bench/load"
	"svclab/sim/proxies"
)

// Options say what to measure.
type Options struct {
	Sizes     []int // required: numbers of Services
	Proxies   []Contestant
	Shape     func(services int) load.Shape // required
	Endpoints string                        // required: what rows say of the shape: "10", "zipf"
	N         int                           // required: how often each of the five kinds of change is done
	Repeat    int                           // required: how often everything else
	Churn     float64                       // required: changes a second
	ChurnFor  time.Duration                 // required
	Budget    time.Duration                 // required: for all of it, more or less
	Patience  time.Duration                 // optional: how long a change may take; 0: a first sync its share of the budget, all else by that, at least 30 s
	// Say is optional: told how far it is, in seconds of the budget, and what is going on.
	Say func(done, total float64, text string)
}

// Contestant is a proxy and what it is called in the results.
type Contestant struct {
	Name  string
	Proxy proxies.Proxy
}

// minSyncPeriod is kube-proxy's default (KubeProxyConfiguration): a sync begins no sooner after the last one.
const minSyncPeriod = time.Second

// Defaults are kube-proxy's own settings where a lab has others: here it is measured as it is delivered.
func Defaults() map[string]any {
	period := map[string]any{"minSyncPeriod": minSyncPeriod.String(), "syncPeriod": "30s"}
	return map[string]any{"nftables": period, "iptables": period, "ipvs": period}
}

// job is one rig: a proxy at a size.
type job struct {
	Contestant
	services int
	again    bool // only the first sync, once more
}

func (j job) String() string { return fmt.Sprintf("%s with %d Services", j.Name, j.services) }

// weight is about how many seconds a job takes that leaves out nothing and does each change three times.
func (j job) weight() float64 {
	if strings.HasPrefix(j.Proxy.Name, "kube-proxy/") {
		return 45 + 0.02*float64(j.services)
	}
	return 20 + 0.001*float64(j.services)
}

// bench is one call of Run.
type bench struct {
	Options
	run    *measure.Run
	rng    *rand.Rand
	end    time.Time
	failed []string
	first  map[string]time.Duration // how long a first sync took with everything around it, by job
	syncs  map[string]int           // how many there were
}

// processors is how many threads may run Go code at least: while the prober rests in the kernel its place is not free for the API
// server, of which a proxy would have to wait.
const processors = 6

// notes are for whoever reads the figures.
var notes = []string{
	"probes: " + paceNote + "; a packet is right no later than told, and at most one rest earlier",
	"kube-proxy runs with its default minSyncPeriod of 1s; a change that comes alone is synced at once, so there is more than that between two; a Service and its EndpointSlices are written one after the other, and it may sync in between",
	"kernel memory is that of the whole machine, after less before: what others do meanwhile is in it",
}

func (b *bench) say(format string, args ...any) {
	if b.Say != nil {
		b.Say((b.Budget - time.Until(b.end)).Seconds(), b.Budget.Seconds(), fmt.Sprintf(format, args...))
	}
}

// Run measures, and writes rows and notes into the run as it goes. What it returns first are proxies that did not do what they
// should; the error is the lab's, or the context's.
func Run(ctx context.Context, run *measure.Run, o Options) (failed []string, err error) {
	b := &bench{
		Options: o, run: run, rng: rand.New(rand.NewPCG(run.Seed, 0x73796e63)), end: time.Now().Add(o.Budget), first: map[string]time.Duration{}, syncs: map[string]int{},
	}
	jobs := b.plan()
	b.run.Notes = append(b.run.Notes, notes...)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(processors, runtime.NumCPU())))
	for i, j := range jobs {
		if err := b.do(ctx, i, jobs); err != nil {
			return b.failed, fmt.Errorf("%s: %w", j, err)
		}
	}
	for _, j := range jobs {
		if n := b.syncs[j.String()]; !j.again && n > 0 && n < b.Repeat {
			b.note("%s: %s %d times instead of %d, for the budget of %s", j, FirstSync, n, b.Repeat, b.Budget)
		}
	}
	return b.failed, nil
}

// undisturbed keeps this process from collecting garbage, which would cost the proxies a processor, until the result is called;
// unless it has taken another gigabyte by then, because a proxy works for minutes. A proxy in this process pays for its garbage
// as any other does.
func (s *site) undisturbed() (again func()) {
	if !s.isProcess() {
		return func() {}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	limit := debug.SetMemoryLimit(int64(m.HeapAlloc) + 1<<30)
	was := debug.SetGCPercent(-1)
	return func() { debug.SetGCPercent(was); debug.SetMemoryLimit(limit) }
}

// plan is every proxy at every size in random order, and then their first syncs again.
func (b *bench) plan() (jobs []job) {
	for r := range max(1, b.Repeat) {
		var round []job
		for _, n := range b.Sizes {
			for _, c := range b.Proxies {
				round = append(round, job{c, n, r > 0})
			}
		}
		b.rng.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		jobs = append(jobs, round...)
	}
	return jobs
}

// share is the time for a job: its part of what is left, beside the others of its round that are still to come, or, of a first
// sync once more, beside all the others of that kind.
func (b *bench) share(i int, jobs []job) time.Duration {
	all := 0.0
	for _, j := range jobs[i:] {
		if j.again == jobs[i].again {
			all += j.weight()
		}
	}
	return time.Duration(float64(time.Until(b.end)) * jobs[i].weight() / max(all, 1))
}

func (b *bench) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	b.run.Notes = append(b.run.Notes, text)
	b.say("%s", text)
}

// do does one job. A proxy that fails is noted, and the next one's turn comes.
func (b *bench) do(ctx context.Context, i int, jobs []job) error {
	j := jobs[i]
	began := time.Now()
	if j.again {
		took, known := b.first[j.String()]
		switch {
		case !known:
			return nil // it has failed
		case took > time.Until(b.end):
			return nil // Run tells
		}
	}
	b.say("%s: build", j)
	shape := b.Shape(j.services)
	shape.Clock = time.Now
	c := load.New(shape)
	rng := rand.New(rand.NewPCG(b.run.Seed, uint64(i)))
	s, err := openSite(ctx, b.run, j, c, b.Endpoints, rng)
	if err != nil {
		return err
	}
	opened := time.Since(began)
	runtime.GC() // what building has left shall not be cleared away while the clock runs
	err = s.forgive(b.measure(ctx, s, j, b.share(i, jobs)))
	if err != nil && ctx.Err() == nil { // it has ended by itself, or cannot take a state
		s.nevers, err = append(s.nevers, fmt.Sprintf("%s: %v", j, err)), nil
	}
	ended := time.Now()
	for _, text := range s.nevers {
		b.note("%s", text)
	}
	b.failed = append(b.failed, s.nevers...)
	err = errors.Join(err, s.close())
	if j.again || b.first[j.String()] == 0 {
		return err
	}
	b.first[j.String()] += opened + time.Since(ended)
	return err
}

// measure does everything there is to do with one proxy.
func (b *bench) measure(ctx context.Context, s *site, j job, share time.Duration) error {
	deadline := time.Now().Add(share)
	patience := b.Patience
	if patience == 0 {
		patience = max(time.Minute, share) // the others shall have theirs
	}
	first, err := s.firstSync(ctx, patience)
	if err != nil {
		return err
	}
	b.syncs[j.String()]++
	b.first[j.String()] = max(b.first[j.String()], first)
	b.say("%s: first sync %s", j, first.Round(100*time.Microsecond))
	if j.again {
		return nil
	}
	if s.patience = b.Patience; s.patience == 0 {
		s.patience = max(30*time.Second, 5*first)
	}
	return b.works(ctx, s, j, deadline, first)
}

// works are all but the first sync: each of the five kinds of change three times, then the longer works, then more of both, as long
// as the job's share of the budget lasts. One round is done in any case.
func (b *bench) works(ctx context.Context, s *site, j job, deadline time.Time, first time.Duration) error {
	const fewest = 3
	rounds, each := 0, time.Duration(0)
	more := func(until int) error {
		for rounds < until && (rounds == 0 && time.Now().Before(b.end) || time.Now().Add(each).Before(deadline)) {
			began := time.Now()
			if err := s.round(ctx); err != nil {
				return err
			}
			rounds++
			each = max(each, time.Since(began))
		}
		return nil
	}
	if err := more(min(fewest, b.N)); err != nil {
		return err
	}
	b.say("%s: %d rounds of the five kinds of change, %s each", j, rounds, each.Round(time.Millisecond))
	change := each / 5
	churn := min(b.ChurnFor, max(b.ChurnFor/5, time.Until(deadline)/4)).Round(100 * time.Millisecond)
	long := []work{
		{ManyAdded, 2 * change, func() error { return s.many(ctx) }},
		{Rolling, time.Second + 2*change, func() error { return s.rolling(ctx) }},
		{churnName(b.Churn), churn + 2*change, func() error { return s.churn(ctx, b.Churn, max(churn, time.Millisecond)) }},
		{Restart, first + time.Second, func() error { return s.restart(ctx, max(4*s.patience, 10*first)) }},
	}
	done := map[string]int{}
	for range max(1, b.Repeat) {
		for _, w := range long {
			if s.never[w.name] || time.Now().Add(w.takes).After(deadline) {
				continue
			}
			b.say("%s: %s", j, w.name)
			if err := s.forgive(w.do()); err != nil {
				return err
			}
			done[w.name]++
			if s.never[Restart] { // nothing is to be had of a proxy that is still starting
				b.tellCut(s, j, rounds, churn, long, done)
				return nil
			}
		}
	}
	if err := more(b.N); err != nil {
		return err
	}
	b.tellCut(s, j, rounds, churn, long, done)
	return nil
}

// work is one of those that take longer.
type work struct {
	name  string
	takes time.Duration // at least
	do    func() error
}

// tellCut says what the budget has cost.
func (b *bench) tellCut(s *site, j job, rounds int, churn time.Duration, long []work, done map[string]int) {
	var cut []string
	if rounds < b.N {
		cut = append(cut, fmt.Sprintf("each kind of change %d times instead of %d", rounds, b.N))
	}
	for _, w := range long {
		n := done[w.name]
		if n < b.Repeat && !s.never[w.name] {
			cut = append(cut, fmt.Sprintf("%s %d times instead of %d", w.name, n, b.Repeat))
		}
		if n == 0 && !s.never[w.name] {
			s.tell(w.name, FirstPacket, measure.Seconds, "left out for want of time")
		}
	}
	if churn < b.ChurnFor && done[churnName(b.Churn)] > 0 {
		cut = append(cut, fmt.Sprintf("churn for %s instead of %s", churn, b.ChurnFor))
	}
	if len(cut) > 0 {
		b.note("%s, for the budget of %s: %s", j, b.Budget, strings.Join(cut, ", "))
	}
}
