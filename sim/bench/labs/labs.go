// Package labs measures what a lab itself costs: how long it takes to open, to come to its first verdict and to close, and how
// much of the machine it takes meanwhile.
package labs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"svclab/proxycore/cluster"
	"svclab/reports/measure"
	"svclab/sim/lab"
	"svclab/sim/oracle"
	"svclab/sim/proxies"
	"svclab/sim/world"
)

// Options of Run; all are required but the last.
type Options struct {
	Proxy    proxies.Proxy
	Nodes    int
	Pods     []int // of each lab, in the order in which they are measured
	Family   string
	Repeat   int
	Progress func(done, total float64, text string) // optional
}

// Run opens labs, has one flow judged in each, closes them, and puts rows into the results. The clocks:
//
//	opened         until every wire carries packets, every server listens and every node has its proxy
//	first verdict  from giving a state with a Service for every ten pods until it is in force everywhere and one flow was judged
//	closed         until this process has let go of everything
//	closed, kernel until the kernel, which does it in the background, has taken the devices away
//
// What a pod takes are differences of before and after, divided by the pods: the nodes and proxies are in them.
func Run(ctx context.Context, o Options, r *measure.Run) error {
	if o.Progress == nil {
		o.Progress = func(float64, float64, string) {}
	}
	total, done := 0, 0
	for _, pods := range o.Pods {
		total += pods * o.Repeat
	}
	for _, pods := range o.Pods {
		t := topologyOf(o.Nodes, pods, o.Family)
		t.Mode = o.Proxy.Mode
		s := stateOf(t, o.Family)
		for i := range o.Repeat {
			o.Progress(float64(done), float64(total), fmt.Sprintf("%d pods, %d of %d", pods, i+1, o.Repeat))
			if err := o.once(ctx, t, s, r, i == 0); err != nil {
				return fmt.Errorf("%d nodes and %d pods: %w", o.Nodes, pods, err)
			}
			done += pods
		}
	}
	return nil
}

// once measures one lab, from nothing to nothing.
func (o Options) once(ctx context.Context, t *world.Topology, s *cluster.Snapshot, r *measure.Run, first bool) (err error) {
	w, err := newWitness()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	debug.FreeOSMemory()
	before, err := taken()
	if err != nil {
		return err
	}
	began := time.Now()
	l, err := lab.Open(ctx, lab.Options{Topology: t, Proxy: o.Proxy.Opener(t)})
	if err != nil {
		return err
	}
	opened := time.Since(began)
	defer func() { err = errors.Join(err, l.Close()) }() // it may be called twice
	after, err := taken()
	if err != nil {
		return err
	}
	began = time.Now()
	last := vip(families(o.Family)[0], services(len(t.Pods))-1)
	if err := verdict(ctx, l, t, s, netip.AddrPortFrom(last, port)); err != nil {
		return err
	}
	judged := time.Since(began)
	began = time.Now()
	if err := l.Close(); err != nil {
		return err
	}
	closed := time.Since(began)
	if err := w.gone(ctx); err != nil {
		return err
	}
	gone := time.Since(began)

	add := func(work, clock string, unit measure.Unit, v float64) *measure.Row {
		return r.Add(measure.Row{Work: work, Clock: clock, Proxy: o.Proxy.Name, Nodes: len(t.Nodes), Pods: len(t.Pods), Unit: unit}, v)
	}
	add("opened", "", measure.Seconds, opened.Seconds())
	add("first verdict", "", measure.Seconds, judged.Seconds())
	add("closed", "", measure.Seconds, closed.Seconds())
	add("closed", "kernel", measure.Seconds, gone.Seconds())
	pods := float64(len(t.Pods))
	add("one pod", "process memory", measure.Bytes, float64(after.process-before.process)/pods)
	add("one pod", "open files", measure.Count, float64(after.files-before.files)/pods)
	if first {
		row := add("one pod", "kernel memory", measure.Bytes, float64(after.kernel-before.kernel)/pods)
		row.Note = "the first lab of a size only: those behind it take what it has given back; what others on the machine take meanwhile is in it"
	}
	return nil
}

// errNoBarrier: a state of which nobody can tell when it is in force has no first verdict.
var errNoBarrier = errors.New("the proxy cannot tell when a state is in force")

// verdict gives the state to all nodes, and has the oracle judge one flow: from the first pod, to the last Service.
func verdict(ctx context.Context, l *lab.Lab, t *world.Topology, s *cluster.Snapshot, to netip.AddrPort) error {
	if !l.HasBarrier() {
		return errNoBarrier
	}
	h := oracle.NewHistory(t)
	h.Begin(s, time.Now())
	if err := l.Apply(ctx, s); err != nil {
		return err
	}
	if err := l.Barrier(ctx); err != nil {
		return err
	}
	h.Done(time.Now())
	f := world.Flow{From: t.Pods[0].Place, To: to, Proto: cluster.TCP}
	began := time.Now()
	seen, err := l.Send(ctx, f)
	if err != nil {
		return err
	}
	if err := oracle.Expect(h, f, began, time.Now()).Permits(seen); err != nil {
		return fmt.Errorf("flow %s: %w", f, err)
	}
	if seen.Outcome != world.Answered {
		return fmt.Errorf("flow %s: %s, and nothing was proved", f, seen.Outcome)
	}
	return nil
}

// amount is what the process and the kernel have taken.
type amount struct {
	process, kernel int64 // bytes
	files           int
}

func taken() (a amount, err error) {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return a, err
	}
	a.files = len(files)
	if a.process, err = sumOf("/proc/self/status", "VmRSS"); err != nil {
		return a, err
	}
	a.kernel, err = sumOf("/proc/meminfo", "Slab", "Percpu", "KernelStack", "PageTables")
	return a, err
}
