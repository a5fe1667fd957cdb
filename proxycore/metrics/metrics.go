// Package metrics tells Prometheus what a node's proxy does. It observes a proxycore.Proxy. A metric that means the same as
// one of kube-proxy's has its name (kubernetes v1.36.3, pkg/proxy/metrics/metrics.go), so that dashboards and alerts fit; but
// one sync of this proxy puts both families in force, so what is measured of a sync has no label ip_family, as before 1.34.
package metrics

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"svclab/proxycore"
)

// Options say what to measure.
type Options struct {
	Mode string           // required: what /proxyMode answers: "nftables", "iptables"
	Now  func() time.Time // optional: the clock
	Sent proxycore.Meter  // optional: what has been sent to the kernel
	More func() []Counter // optional: what else is counted; asked by whoever reads
}

// Counter is one that somebody else counts. Those of one name follow one another.
type Counter struct {
	Name, Help string
	Labels     []string // name, value, …
	Value      float64
}

// Metrics is a proxycore.Observer and an http.Handler.
type Metrics struct {
	options Options
	mux     http.ServeMux

	mu          sync.Mutex // guards what is measured
	started     time.Time
	began       time.Time // of the sync under way
	queued      time.Time
	synced      time.Time
	all         histogram
	full        histogram
	partial     histogram
	programming histogram
	cleaning    histogram
	failures    float64
	deleted     float64
	services    changes
	slices      changes
	triggers    []time.Time
	noLocal     proxycore.NoLocal
	answers     map[string]map[int]float64 // path → status → how often
}

// changes of one kind of object.
type changes struct{ total, pending float64 }

func (c *changes) add(n int) { c.total, c.pending = c.total+float64(n), c.pending+float64(n) }

var _ proxycore.Observer = (*Metrics)(nil)

// New starts to measure.
func New(o Options) *Metrics {
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Metrics{
		options: o, started: o.Now(),
		all: newHistogram(exponential), full: newHistogram(exponential), partial: newHistogram(exponential),
		cleaning: newHistogram(exponential), programming: newHistogram(linear),
		answers: map[string]map[int]float64{"/healthz": {}, "/livez": {}},
	}
	m.mux.HandleFunc("/metrics", m.serve)
	m.mux.HandleFunc("/proxyMode", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, o.Mode) })
	m.mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	return m
}

// ServeHTTP answers /metrics, /proxyMode, and /healthz, which says no more than that somebody answers (row HC-4).
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.mux.ServeHTTP(w, r) }

// Answered counts an answer at the health server's /healthz or /livez.
func (m *Metrics) Answered(path string, code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers[path][code]++
}

// Queued begins a sync.
func (m *Metrics) Queued(q proxycore.Queued) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.began = m.options.Now()
	m.queued = m.began
	m.services.add(q.Services)
	m.slices.add(q.Slices)
	for _, t := range q.Triggers {
		if t.After(m.started) { // what happened before there was a proxy waited for something else
			m.triggers = append(m.triggers, t)
		}
	}
}

// Synced ends it. A sync that fails is not over: what it should have put in force stays pending.
func (m *Metrics) Synced(s proxycore.Synced) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.options.Now()
	took := now.Sub(m.began)
	m.all.observe(took)
	if s.Full {
		m.full.observe(took)
	} else {
		m.partial.observe(took)
	}
	if s.Err != nil {
		m.failures++
		return
	}
	m.synced, m.noLocal = now, s.NoLocal
	m.services.pending, m.slices.pending = 0, 0
	for _, t := range m.triggers {
		m.programming.observe(now.Sub(t))
	}
	m.triggers = nil
}

// Cleaned is one look at connection tracking.
func (m *Metrics) Cleaned(c proxycore.Cleaned) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cleaning.observe(c.Took)
	m.deleted += float64(c.Deleted)
}

// Close stops nothing: whoever serves the Metrics closes the listener.
func (m *Metrics) Close() error { return nil }

func (m *Metrics) serve(w http.ResponseWriter, r *http.Request) {
	format := expfmt.NegotiateAccept(r.Header, expfmt.DefaultAcceptedFormats()...)
	w.Header().Set("Content-Type", string(format))
	e := expfmt.NewEncoder(w, format)
	for _, f := range m.families() {
		if e.Encode(f) != nil {
			return // whoever asked has gone
		}
	}
}

// failures' name: of an iptables mode's syncs not only the restore may fail, so upstream's name would not mean the same.
func (m *Metrics) failuresName() string {
	if m.options.Mode == "nftables" {
		return "kubeproxy_sync_proxy_rules_nftables_sync_failures_total"
	}
	return "svclab_sync_proxy_rules_failures_total"
}

// families is everything, in upstream's order.
func (m *Metrics) families() []*dto.MetricFamily {
	m.mu.Lock()
	defer m.mu.Unlock()
	const p = "kubeproxy_"
	all := []*dto.MetricFamily{
		m.all.family(p+"sync_proxy_rules_duration_seconds", "How long one sync took, full or partial"),
		m.full.family(p+"sync_full_proxy_rules_duration_seconds", "How long one full sync took"),
		m.partial.family(p+"sync_partial_proxy_rules_duration_seconds", "How long one partial sync took"),
		gauge(p+"sync_proxy_rules_last_timestamp_seconds", "When a state last came in force", value(seconds(m.synced))),
		gauge(p+"sync_proxy_rules_last_queued_timestamp_seconds", "When a sync was last asked for", value(seconds(m.queued))),
		m.programming.family(p+"network_programming_duration_seconds", "From what happened to a Service or pod until it was in force here"),
		gauge(p+"sync_proxy_rules_endpoint_changes_pending", "EndpointSlices that have changed and are not in force", value(m.slices.pending)),
		counter(p+"sync_proxy_rules_endpoint_changes_total", "EndpointSlices that have changed", value(m.slices.total)),
		gauge(p+"sync_proxy_rules_service_changes_pending", "Services that have changed and are not in force", value(m.services.pending)),
		counter(p+"sync_proxy_rules_service_changes_total", "Services that have changed", value(m.services.total)),
		gauge(p+"sync_proxy_rules_no_local_endpoints_total", "Service ports with a Local traffic policy and endpoints, but none here",
			value(float64(m.noLocal.Internal[0]), "ip_family", "IPv4", "traffic_policy", "internal"),
			value(float64(m.noLocal.Internal[1]), "ip_family", "IPv6", "traffic_policy", "internal"),
			value(float64(m.noLocal.External[0]), "ip_family", "IPv4", "traffic_policy", "external"),
			value(float64(m.noLocal.External[1]), "ip_family", "IPv6", "traffic_policy", "external")),
		counter(m.failuresName(), "Syncs that failed", value(m.failures)),
		m.cleaning.family(p+"conntrack_reconciler_sync_duration_seconds", "How long a look for stale connection-tracking entries took"),
		counter(p+"conntrack_reconciler_deleted_entries_total", "Stale connection-tracking entries that were deleted", value(m.deleted)),
		counter(p+"proxy_healthz_total", "Answers at /healthz by status", m.codes("/healthz")...),
		counter(p+"proxy_livez_total", "Answers at /livez by status", m.codes("/livez")...),
	}
	if m.options.Sent != nil {
		bytes, transactions := m.options.Sent.Sent()
		all = append(all,
			counter("svclab_netlink_bytes_total", "Bytes of changes that nf_tables has taken", value(float64(bytes))),
			counter("svclab_netlink_transactions_total", "Transactions that nf_tables has taken", value(float64(transactions))))
	}
	if m.options.More == nil {
		return all
	}
	for _, c := range m.options.More() {
		sample := value(c.Value, c.Labels...)
		if last := all[len(all)-1]; last.GetName() == c.Name {
			last.Metric = append(last.Metric, counter(c.Name, c.Help, sample).Metric...)
			continue
		}
		all = append(all, counter(c.Name, c.Help, sample))
	}
	return all
}

func (m *Metrics) codes(path string) (out []sample) {
	for _, code := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		out = append(out, value(m.answers[path][code], "code", strconv.Itoa(code)))
	}
	return out
}

// seconds since 1970; 0 for never, as upstream's gauges begin.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}
