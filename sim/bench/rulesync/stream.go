package rulesync

import (
	"context"
	"fmt"
	"time"

	"svclab/reports/measure"
	"svclab/sim/bench/load"
)

// place of an endpoint.
type place struct{ service, slot int }

// stream replaces endpoints one after the other, in time whatever the proxy does, and waits until the last is in force. Each
// has its clock from when it was due, so that what waits for others is seen (no coordinated omission).
func (s *site) stream(ctx context.Context, work, note string, places []place, every time.Duration) error {
	before := s.cpu()
	said, err := s.says(ctx)
	if err != nil && s.pid() != 0 && !s.unknown() {
		return fmt.Errorf("read the metrics of %s: %w", s.at.Proxy, err)
	}
	if _, err := s.commits.look(); err != nil {
		return err
	}
	again := s.undisturbed()
	defer again()
	more, applied := make(chan *watch, len(places)), make(chan error, 1)
	ctx2, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	go func() { // the site's state is its own until applied is closed
		defer close(applied)
		defer close(more)
		for k, p := range places {
			due := began.Add(time.Duration(k) * every)
			if !sleep(ctx2, time.Until(due)) {
				return
			}
			w := appears(load.Front(p.service), s.replaced(p.service, p.slot))
			w.service, w.slot, w.began = p.service, p.slot, due
			more <- w
			if err := s.rig.Apply(ctx2, s.state); err != nil {
				applied <- err
				return
			}
		}
	}()
	o := &observation{more: more, applied: applied, until: began.Add(time.Duration(len(places))*every + s.patience)}
	err = s.observe(ctx, o)
	cancel()
	for range applied { // until the writer has ended
	}
	if err != nil {
		return s.failed(work, err)
	}
	commits, seen := 0, true
	for _, w := range o.watches {
		at := w.began.Sub(began).Seconds()
		row := s.add(work, FirstPacket, measure.Seconds, note, w.took().Seconds())
		row.At = append(row.At, at)
		if seen = seen && !w.commit.IsZero(); !w.commit.IsZero() {
			row := s.add(work, Commit, measure.Seconds, "", w.commit.Sub(w.began).Seconds())
			row.At = append(row.At, at)
		}
	}
	if !seen {
		s.committed(work, false, 0)
	}
	if diff, ok := s.saysSince(ctx, said); ok {
		_, commits = s.commits.between(began, time.Now())
		s.add(work, OwnMetric, measure.Seconds, fmt.Sprintf("the mean of its syncs, which were %.0f for %d changes; the kernel took %d commits", diff.syncs, len(places), commits), diff.seconds/diff.syncs)
		if diff.programs > 0 {
			s.add(work, OwnLatency, measure.Seconds, "the mean of what it counted", diff.since/diff.programs)
		}
		if diff.netlink > 0 {
			s.add(work, NetlinkBytes, measure.Bytes, "", diff.netlink)
		}
	}
	if s.isProcess() {
		s.used(work, before, 0)
	}
	return s.rest(ctx)
}

// The rolling update: so many pods, one every so often.
const (
	rolled    = 100
	rollEvery = 10 * time.Millisecond
)

// rolling replaces 100 pods one after the other, all those of one Service and then the next one's.
func (s *site) rolling(ctx context.Context) error {
	var places []place
	for _, i := range s.rng.Perm(s.cluster.Services()) {
		for slot := range s.endpointsOf(i) {
			if len(places) < rolled {
				places = append(places, place{i, slot})
			}
		}
		if len(places) == rolled {
			break
		}
	}
	note := fmt.Sprintf("of each pod; one is replaced every %s", rollEvery)
	if len(places) < rolled {
		note = fmt.Sprintf("there are only %d pods; %s", len(places), note)
	}
	return s.stream(ctx, Rolling, note, places, rollEvery)
}

func churnName(rate float64) string { return fmt.Sprintf("churn, %g changes a second", rate) }

// churn replaces endpoints of random Services, rate a second for a time.
func (s *site) churn(ctx context.Context, rate float64, long time.Duration) error {
	n := int(rate * long.Seconds())
	var places []place
	for round := 0; len(places) < n; round++ {
		for _, i := range s.rng.Perm(s.cluster.Services()) {
			if list := s.endpointsOf(i); len(list) > 0 && len(places) < n {
				places = append(places, place{i, round % len(list)})
			}
		}
	}
	note := fmt.Sprintf("endpoints are replaced for %s; the clock of each starts when it is due", long.Round(time.Millisecond))
	return s.stream(ctx, churnName(rate), note, places, time.Duration(float64(time.Second)/rate))
}
