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
	Patience  time.Duration                 // optional: how long a change may take; 0: by the first sync, at least 30 s
	// Say is optional: told how far it is, done of total, and what is going on.
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

// weight is how the budget is divided.
func (j job) weight() float64 {
	if j.again {
		return (2000 + float64(j.services)) / 10
	}
	w := 2000 + float64(j.services)
	if strings.HasPrefix(j.Proxy.Name, "kube-proxy/") {
		w += 8 * float64(j.services)
	}
	return w
}

// bench is one call of Run.
type bench struct {
	Options
	run    *measure.Run
	rng    *rand.Rand
	end    time.Time
	failed []string
	first  map[string]time.Duration // how long a first sync took with everything around it, by job

	done, total float64 // weights of jobs
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
		b.Say(b.done, b.total, fmt.Sprintf(format, args...))
	}
}

// Run measures, and writes rows and notes into the run as it goes. What it returns first are proxies that did not do what they
// should; the error is the lab's, or the context's.
func Run(ctx context.Context, run *measure.Run, o Options) (failed []string, err error) {
	b := &bench{
		Options: o, run: run, rng: rand.New(rand.NewPCG(run.Seed, 0x73796e63)), end: time.Now().Add(o.Budget), first: map[string]time.Duration{},
	}
	jobs := b.plan()
	for _, j := range jobs {
		b.total += j.weight()
	}
	b.run.Notes = append(b.run.Notes, notes...)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(processors, runtime.NumCPU())))
	for i, j := range jobs {
		if err := b.do(ctx, i, jobs); err != nil {
			return b.failed, fmt.Errorf("%s: %w", j, err)
		}
		b.done += j.weight()
	}
	return b.failed, nil
}

// undisturbed keeps this process from collecting garbage, which would cost the proxies a processor, until the result is called.
func undisturbed() (again func()) {
	was := debug.SetGCPercent(-1)
	return func() { debug.SetGCPercent(was) }
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

// share is the time for a job: its part of what is left.
func (b *bench) share(i int, jobs []job) time.Duration {
	all := 0.0
	for _, j := range jobs[i:] {
		if !j.again {
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
			b.note("%s: one first sync less, for the budget of %s", j, b.Budget)
			return nil
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
	runtime.GC() // what building has left shall not be cleared away while the clock runs
	err = s.forgive(b.measure(ctx, s, j, b.share(i, jobs)))
	if err != nil && ctx.Err() == nil { // it has ended by itself, or cannot take a state
		s.nevers, err = append(s.nevers, fmt.Sprintf("%s: %v", j, err)), nil
	}
	for _, text := range s.nevers {
		b.note("%s", text)
	}
	b.failed = append(b.failed, s.nevers...)
	err = errors.Join(err, s.close())
	b.first[j.String()] = max(b.first[j.String()], time.Since(began)/4)
	return err
}

// measure does everything there is to do with one proxy.
func (b *bench) measure(ctx context.Context, s *site, j job, share time.Duration) error {
	deadline := time.Now().Add(share)
	patience := b.Patience
	if patience == 0 {
		patience = max(2*time.Minute, time.Until(b.end))
	}
	first, err := s.firstSync(ctx, patience)
	if err != nil {
		return err
	}
	b.say("%s: first sync %s", j, first.Round(100*time.Microsecond))
	if j.again {
		return nil
	}
	if s.patience = b.Patience; s.patience == 0 {
		s.patience = max(30*time.Second, 5*first)
	}
	return b.works(ctx, s, j, deadline, first)
}

// works are all but the first sync. What comes first is done at least once, as long as there is any time.
func (b *bench) works(ctx context.Context, s *site, j job, deadline time.Time, first time.Duration) error {
	const fewest = 3
	rounds, each := 0, time.Duration(0)
	more := func(until int, end time.Time) error {
		for rounds < until && time.Now().Add(each).Before(end) {
			began := time.Now()
			if err := s.round(ctx); err != nil {
				return err
			}
			rounds++
			each = max(each, time.Since(began))
		}
		return nil
	}
	if err := more(min(fewest, b.N), b.end); err != nil {
		return err
	}
	b.say("%s: %d rounds of the five kinds of change, %s each", j, rounds, each.Round(time.Millisecond))
	change := each / 5
	for r := range max(1, b.Repeat) {
		for _, w := range []struct {
			name string
			long time.Duration // at least
			do   func() error
		}{
			{ManyAdded, 2 * change, func() error { return s.many(ctx) }},
			{Rolling, time.Second + 2*change, func() error { return s.rolling(ctx) }},
			{churnName(b.Churn), b.ChurnFor + 2*change, func() error { return s.churn(ctx, b.Churn, b.ChurnFor) }},
			{Restart, 2*first + time.Second, func() error { return s.restart(ctx) }},
		} {
			end := deadline
			if r == 0 {
				end = b.end
			}
			if time.Now().Add(w.long).After(end) {
				if r == 0 {
					s.tell(w.name, FirstPacket, measure.Seconds, "left out for want of time")
				}
				b.note("%s: %s done %d times instead of %d, for the budget of %s", j, w.name, r, b.Repeat, b.Budget)
				continue
			}
			b.say("%s: %s", j, w.name)
			if err := s.forgive(w.do()); err != nil {
				return err
			}
		}
		if time.Now().After(deadline) {
			break
		}
	}
	if err := more(b.N, deadline); err != nil {
		return err
	}
	if rounds < b.N {
		b.note("%s: each kind of change done %d times instead of %d, for the budget of %s", j, rounds, b.N, b.Budget)
	}
	return nil
}
