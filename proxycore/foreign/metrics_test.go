package foreign

import (
	"fmt"
	"testing"
	"time"
)

// reading is metrics as kube-proxy prints them; times are in seconds before now.
func reading(now time.Time, services, slices int, families ...string) string {
	s := fmt.Sprintf("# TYPE %[1]s counter\n%[1]s %[2]d\n# TYPE %[3]s counter\n%[3]s %[4]d\n", metricServices, services, metricSlices, slices)
	s += "# TYPE " + metricQueued + " gauge\n"
	gauges, last, hist := "", "# TYPE "+metricLast+" gauge\n", "# TYPE "+metricDuration+" histogram\n"
	for _, f := range families {
		var label string
		var queued, ended, sum float64
		var count int
		if _, err := fmt.Sscan(f, &label, &queued, &ended, &count, &sum); err != nil {
			panic(err)
		}
		if label == "-" {
			label = ""
		} else {
			label = `{ip_family="` + label + `"}`
		}
		at := float64(now.UnixNano()) / 1e9
		gauges += fmt.Sprintf("%s%s %f\n", metricQueued, label, at-queued)
		last += fmt.Sprintf("%s%s %f\n", metricLast, label, at-ended)
		hist += fmt.Sprintf("%[1]s_bucket%[2]s %[3]d\n%[1]s_sum%[4]s %[5]f\n%[1]s_count%[4]s %[3]d\n", metricDuration, bucket(label), count, label, sum)
	}
	return s + gauges + last + hist
}

func bucket(label string) string {
	if label == "" {
		return `{le="+Inf"}`
	}
	return label[:len(label)-1] + `,le="+Inf"}`
}

// A family is: label, queued and ended so many seconds ago, syncs, their seconds in all.
func TestSettled(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name     string
		before   []string // an earlier reading
		services int      // counted, twice each
		families []string
		between  time.Duration
		want     bool
	}{
		{"it began after the queueing", nil, 4, []string{"IPv4 1 0.5 1 0.1", "IPv6 1 0.5 1 0.1"}, 0, true},
		{"a change has not been taken in", nil, 3, []string{"IPv4 1 0.5 1 0.1", "IPv6 1 0.5 1 0.1"}, 0, false},
		{"queued, and nothing done since", nil, 4, []string{"IPv4 1 2 1 0.1", "IPv6 1 0.5 1 0.1"}, 0, false},
		{"it ran when another was queued, and ended just now", nil, 4, []string{"IPv4 0.05 0.01 1 0.06", "IPv6 1 0.5 1 0.1"}, 0, false},
		{"so, and nothing has followed for a while", nil, 4, []string{"IPv4 1 0.5 1 0.06", "IPv6 1 0.5 1 0.1"}, 0, true},
		{"so, but the next may not begin yet", nil, 4, []string{"IPv4 0.61 0.6 1 0.06", "IPv6 1 0.5 1 0.1"}, time.Second, false},
		{"several between two readings, ended just now", []string{"IPv4 9 8 1 0.1", "IPv6 9 8 1 0.1"}, 4,
			[]string{"IPv4 0.2 0.05 4 0.16", "IPv6 1 0.5 2 0.2"}, 0, false},
		{"one since the last reading", []string{"IPv4 9 8 3 5", "IPv6 9 8 1 0.1"}, 4, []string{"IPv4 0.2 0.05 4 5.1", "IPv6 1 0.5 2 0.2"}, 0, true},
		{"families of an older version share a gauge", nil, 4, []string{"- 1 0.05 1 0.01"}, 0, false},
		{"so, and it is quiet", nil, 4, []string{"- 1 0.8 1 0.01"}, 0, true},
		{"no sync at all", nil, 4, nil, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGauge(nil)
			g.between = c.between
			if c.before != nil {
				if err := g.read(reading(now, c.services, 3, c.before...)); err != nil {
					t.Fatal(err)
				}
			}
			if err := g.read(reading(now, c.services, 3, c.families...)); err != nil {
				t.Fatal(err)
			}
			g.since = now.Add(-time.Minute)
			if got := g.settled(2, 3); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if err := newGauge(nil).read("no metrics {"); err == nil {
		t.Error("nonsense was read")
	}
}

func TestReadInForce(t *testing.T) {
	for text, want := range map[string]string{
		"# TYPE a counter\na 1\n": "map[]",
		"# TYPE a counter\na 1\n# TYPE svclab_feed_in_force_total counter\nsvclab_feed_in_force_total{resource=\"services\"} 3\nsvclab_feed_in_force_total{resource=\"nodes\"} 1e+06\n": "map[nodes:1000000 services:3]",
		"# TYPE svclab_feed_in_force_total counter\nsvclab_feed_in_force_total{resource=\"services\"} 3\n# TYPE b counter\nb x\n":                                                       "map[services:3]",
	} {
		got, err := readInForce(text)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v %v, want %s", text, got, err, want)
		}
	}
}
