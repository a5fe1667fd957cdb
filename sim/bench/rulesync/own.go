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
	pending         float64 // objects that have changed and are not in force, of both families
}

// The metrics that are read.
const (
	metricAll     = "kubeproxy_sync_proxy_rules_duration_seconds"
	metricFull    = "kubeproxy_sync_full_proxy_rules_duration_seconds"
	metricPartial = "kubeproxy_sync_partial_proxy_rules_duration_seconds"
	metricProgram = "kubeproxy_network_programming_duration_seconds"
	metricNetlink = "svclab_netlink_bytes_total"
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

// calmFor is how long kube-proxy's count of syncs must stay as it is to be believed: it counts some time after it has done.
const calmFor = 300 * time.Millisecond

// saysSince reads them once nothing is pending any more, so that all the syncs of a change are counted, and the next change is not
// held up by one of them: kube-proxy may sync twice, as when a Service and its EndpointSlice come one after the other.
func (s *site) saysSince(ctx context.Context, before own) (diff own, ok bool) {
	if s.unknown() {
		return own{}, false
	}
	patience, calm := time.Now().Add(min(s.patience, 5*time.Minute)), time.Time{}
	for time.Now().Before(patience) {
		now, err := s.says(ctx)
		if later := now.minus(before); err == nil && later.syncs > 0 && later.pending == 0 {
			if !s.bundles() { // it counts at once
				return later, true
			}
			if !ok || later.syncs != diff.syncs {
				diff, ok, calm = later, true, time.Now()
			}
			if time.Since(calm) > calmFor {
				return diff, true
			}
		}
		if !sleep(ctx, 10*time.Millisecond) {
			break
		}
	}
	return diff, ok
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
