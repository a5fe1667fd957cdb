package rulesync

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"svclab/nsnet"
)

// own is what a proxy says of itself. kube-proxy and svclab's own use the same names; those of kube-proxy have a family from
// version 1.34 on, and then it is IPv4's that is meant.
type own struct {
	syncs, seconds  float64 // all syncs
	full, partial   float64 // seconds of those of each kind, where the proxy tells them apart
	programs, since float64 // network programming latency: how many, seconds together
	netlink         float64 // bytes sent to the kernel; -1: it does not say
	last            float64 // when a sync last ended, seconds since 1970
	pending         float64 // objects that have changed and are not in force, of both families
}

// The metrics that are read.
const (
	metricAll     = "kubeproxy_sync_proxy_rules_duration_seconds"
	metricFull    = "kubeproxy_sync_full_proxy_rules_duration_seconds"
	metricPartial = "kubeproxy_sync_partial_proxy_rules_duration_seconds"
	metricProgram = "kubeproxy_network_programming_duration_seconds"
	metricNetlink = "svclab_netlink_bytes_total"
	metricLast    = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
	metricService = "kubeproxy_sync_proxy_rules_service_changes_pending"
	metricSlice   = "kubeproxy_sync_proxy_rules_endpoint_changes_pending"
)

func parseOwn(text string) (o own, err error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return o, fmt.Errorf("read metrics: %w", err)
	}
	o.syncs, o.seconds = histogram(all[metricAll])
	_, o.full = histogram(all[metricFull])
	_, o.partial = histogram(all[metricPartial])
	o.programs, o.since = histogram(all[metricProgram])
	for _, m := range all[metricLast].GetMetric() {
		if !six(m) {
			o.last = m.GetGauge().GetValue()
		}
	}
	for _, name := range []string{metricService, metricSlice} {
		for _, m := range all[name].GetMetric() {
			o.pending += m.GetGauge().GetValue()
		}
	}
	o.netlink = -1
	if f := all[metricNetlink]; f != nil {
		o.netlink = 0
		for _, m := range f.GetMetric() {
			o.netlink += m.GetCounter().GetValue()
		}
	}
	return o, nil
}

func histogram(f *dto.MetricFamily) (count, sum float64) {
	for _, m := range f.GetMetric() {
		if !six(m) {
			count, sum = count+float64(m.GetHistogram().GetSampleCount()), sum+m.GetHistogram().GetSampleSum()
		}
	}
	return count, sum
}

func six(m *dto.Metric) bool {
	for _, l := range m.GetLabel() {
		if l.GetName() == "ip_family" && l.GetValue() == "IPv6" {
			return true
		}
	}
	return false
}

// minus is what has come since; what is no sum stays as it is.
func (o own) minus(b own) own {
	out := o
	out.syncs, out.seconds, out.full, out.partial = o.syncs-b.syncs, o.seconds-b.seconds, o.full-b.full, o.partial-b.partial
	out.programs, out.since = o.programs-b.programs, o.since-b.since
	if o.netlink >= 0 {
		out.netlink -= max(b.netlink, 0)
	}
	return out
}

// teller is a proxy that is a process of its own and hands out its metrics.
type teller interface {
	Metrics(ctx context.Context) (string, error)
}

// coreMetrics is where our own core serves them on its node when it is no process of its own (package proxies).
const coreMetrics = "http://127.0.0.1:10249/metrics"

// metricsOf reads them through the proxy, or at its node.
func metricsOf(ctx context.Context, proxy any, node *nsnet.NS) (string, error) {
	if t, ok := proxy.(teller); ok {
		return t.Metrics(ctx)
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, to string) (c net.Conn, err error) {
		err = node.Do(func() error {
			c, err = (&net.Dialer{}).DialContext(ctx, network, to)
			return err
		})
		return c, err
	}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, coreMetrics, nil)
	if err != nil {
		return "", err
	}
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

// says reads the proxy's metrics.
func (s *site) says(ctx context.Context) (own, error) {
	text, err := metricsOf(ctx, s.rig.Proxy(), s.rig.Node())
	if err != nil {
		return own{}, err
	}
	return parseOwn(text)
}

// saysSince reads them once the sync is counted that made the commit at that time: that is when all is done, after the rules are in
// force. Without one after a while there is nothing to say.
func (s *site) saysSince(ctx context.Context, before own, commit time.Time) (diff own, ok bool) {
	const clocks = 5 * time.Millisecond // between a commit and the time at which it was seen
	at := float64(commit.Add(-clocks).UnixNano()) / 1e9
	patience, calm := time.Now().Add(5*time.Second+min(s.patience, 5*time.Minute)/10), time.Time{}
	for time.Now().Before(patience) {
		now, err := s.says(ctx)
		if later := now.minus(before); err == nil && later.syncs > 0 && later.last >= at {
			if s.quiet < minSyncPeriod { // it counts and dates a sync at once
				return later, true
			}
			if !ok || later.syncs != diff.syncs {
				diff, ok, calm = later, true, time.Now()
			}
			if time.Since(calm) > 300*time.Millisecond {
				return diff, true
			}
		}
		if !sleep(ctx, 10*time.Millisecond) {
			break
		}
	}
	return diff, ok
}

// idle waits until kube-proxy has nothing to do. One change may make it sync twice, as when a Service and its EndpointSlice come
// one after the other, and the second must not fall into the next change.
func (s *site) idle(ctx context.Context) error {
	for end := time.Now().Add(s.patience); time.Now().Before(end); {
		if now, err := s.says(ctx); err == nil && now.pending == 0 {
			return nil
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
	return nil // the next change will show it
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
