package foreign

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
)

// gauge reads kube-proxy's metrics and says when a state is in force. For each family of its rules kube-proxy tells when
// a sync was last queued and when one last succeeded; how long the last took follows from two readings. A state is in
// force when every object that it was handed has been taken in, and the last sync *began* after the last one was queued
// (kubernetes pkg/proxy/metrics/metrics.go).
type gauge struct {
	client   http.Client
	families map[string]*syncs // by the label ip_family; empty when this version has no such label
	services float64           // changes taken in, twice each: once a family
	slices   float64           // changes taken in, once each
	since    time.Time         // when services and slices were last other than now
	between  time.Duration     // a sync begins no sooner after another
}

// syncs is what is known of one family's.
type syncs struct {
	queued, last float64 // Unix seconds
	count        uint64
	sum          float64
	took         float64 // at most so long took the last one
	exact        bool    // took is that of one sync
	seen         bool
}

func newGauge(dial func(ctx context.Context, network, address string) (net.Conn, error)) *gauge {
	return &gauge{
		client:   http.Client{Transport: &http.Transport{DialContext: dial, DisableCompression: true}, Timeout: 5 * time.Second},
		families: map[string]*syncs{},
	}
}

func (g *gauge) get(ctx context.Context, url string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := g.client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, answer.Status)
	}
	return string(body), err
}

// The metrics that are read.
const (
	metricQueued   = "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds"
	metricLast     = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
	metricDuration = "kubeproxy_sync_proxy_rules_duration_seconds"
	metricServices = "kubeproxy_sync_proxy_rules_service_changes_total"
	metricSlices   = "kubeproxy_sync_proxy_rules_endpoint_changes_total"
)

// read takes a reading in.
func (g *gauge) read(text string) error {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return fmt.Errorf("read metrics: %w", err)
	}
	services, slices := total(all[metricServices]), total(all[metricSlices])
	if services != g.services || slices != g.slices {
		g.services, g.slices, g.since = services, slices, time.Now()
	}
	for _, m := range all[metricDuration].GetMetric() {
		f := g.family(m)
		count, sum := m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()
		if n := count - f.count; n > 0 {
			f.took, f.exact = sum-f.sum, n == 1
		}
		f.count, f.sum = count, sum
	}
	for _, m := range all[metricQueued].GetMetric() {
		g.family(m).queued = m.GetGauge().GetValue()
	}
	for _, m := range all[metricLast].GetMetric() {
		f := g.family(m)
		f.last, f.seen = m.GetGauge().GetValue(), true
	}
	return nil
}

func total(f *dto.MetricFamily) (sum float64) {
	for _, m := range f.GetMetric() {
		sum += m.GetCounter().GetValue()
	}
	return sum
}

func (g *gauge) family(m *dto.Metric) *syncs {
	name := ""
	for _, l := range m.GetLabel() {
		if l.GetName() == "ip_family" {
			name = l.GetValue()
		}
	}
	if g.families[name] == nil {
		g.families[name] = &syncs{}
	}
	return g.families[name]
}

// Between the count of a change and the time of its queueing lie some instructions of kube-proxy's.
const afterCount = 30 * time.Millisecond

// settled reports whether all that was handed out is in force.
func (g *gauge) settled(services, slices uint64) bool {
	if g.services < 2*float64(services) || g.slices < float64(slices) || time.Since(g.since) < afterCount || len(g.families) == 0 {
		return false
	}
	for name, f := range g.families {
		if !f.seen || !f.settled(time.Now(), name == "", g.between) {
			return false
		}
	}
	return true
}

// settled: the last sync began after the last was queued. When it began is known a little too early, by what kube-proxy
// does between its two clocks; and not at all where several lie between two readings, or the families of an older version
// share one gauge. But what was queued while another sync ran is done right after it: a while without any says so too.
func (f *syncs) settled(now time.Time, shared bool, between time.Duration) bool {
	if f.last <= f.queued {
		return false
	}
	if !shared && f.exact && f.last-f.took > f.queued {
		return true
	}
	quiet := 0.1 + 3*f.took + between.Seconds()
	return float64(now.UnixNano())/1e9-f.last > quiet
}

// what says where it stands, for an error.
func (g *gauge) what(services, slices uint64, all bool, err error) string {
	switch {
	case err != nil:
		return fmt.Sprintf("its metrics cannot be read: %v", err)
	case !all:
		return "it has not read what the API server has for it"
	case g.services < 2*float64(services) || g.slices < float64(slices):
		return fmt.Sprintf("of %d changes of Services and %d of EndpointSlices it has taken in %g, counted for two families, and %g", services, slices, g.services, g.slices)
	}
	return "the last sync that succeeded began before the last one was queued"
}
