package figures

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"svclab/reports/measure"
)

// block is the rows of one work by one clock: what is read together.
type block struct {
	work, clock string
	unit        measure.Unit
	rows        []*measure.Row
}

func (b *block) title() string { return Title(b.work, b.clock) }

// Title of what was done and by which clock.
func Title(work, clock string) string {
	if clock == "" {
		return work
	}
	return work + ": " + clock
}

// Better says what to wish for.
func Better(u measure.Unit) string {
	if u.HigherIsBetter() {
		return "more is better"
	}
	return "less is better"
}

// view is a run put in order.
type view struct {
	*measure.Run
	proxies   []string // in the order in which they were asked for, else of their first rows
	notes     footnotes
	reference string // the proxy that all are compared to: "direct", or a kube-proxy; "": the best of each group
	blocks    []*block
	shown     []Column // conditions that rows of the run differ in
	same      []string // those that are the same everywhere: "10 endpoints each"
}

func newView(r *measure.Run) *view {
	v := &view{Run: r}
	at := map[[3]string]*block{}
	var works []string
	for i := range r.Rows {
		row := &r.Rows[i]
		if !slices.Contains(v.proxies, row.Proxy) {
			v.proxies = append(v.proxies, row.Proxy)
		}
		if !slices.Contains(works, row.Work) {
			works = append(works, row.Work)
		}
		key := [3]string{row.Work, row.Clock, string(row.Unit)}
		if at[key] == nil {
			at[key] = &block{work: row.Work, clock: row.Clock, unit: row.Unit}
			v.blocks = append(v.blocks, at[key])
		}
		at[key].rows = append(at[key].rows, row)
	}
	asked := strings.Split(r.Flags["proxy"], ",")
	slices.SortStableFunc(v.proxies, func(a, b string) int { return cmp.Compare(rank(asked, a), rank(asked, b)) })
	slices.SortStableFunc(v.blocks, func(a, b *block) int {
		return cmp.Compare(slices.Index(works, a.work), slices.Index(works, b.work))
	})
	for _, b := range v.blocks {
		slices.SortStableFunc(b.rows, v.order)
	}
	v.reference = reference(v.proxies)
	all := make([]*measure.Row, len(r.Rows))
	for i := range r.Rows {
		all[i] = &r.Rows[i]
	}
	v.shown, v.same = Conditions(all)
	return v
}

// rank of a proxy among those that were asked for: what was not asked for, which is no proxy at all, comes first. The order in
// which they were measured is chance.
func rank(asked []string, proxy string) int { return slices.Index(asked, proxy) }

// reference is what all else is compared to: no proxy at all, else a kube-proxy, of several that of nftables.
func reference(proxies []string) string {
	found := ""
	for _, p := range proxies {
		switch {
		case p == direct:
			return direct
		case !strings.HasPrefix(p, "kube-proxy"):
		case found == "" || strings.Contains(p, "nftables") && !strings.Contains(found, "nftables"):
			found = p
		}
	}
	return found
}

// direct is the Proxy of rows that were measured without one.
const direct = "direct"

var throughs = []string{"", direct, "first", "middle", "last"}

// order of rows in a block.
func (v *view) order(a, b *measure.Row) int {
	return cmp.Or(
		cmp.Compare(a.Nodes, b.Nodes), cmp.Compare(a.Pods, b.Pods),
		cmp.Compare(b.Where, a.Where), // "same node" before "cross node"
		cmp.Compare(a.Services, b.Services), cmp.Compare(a.Endpoints, b.Endpoints),
		cmp.Compare(slices.Index(throughs, a.Through), slices.Index(throughs, b.Through)),
		cmp.Compare(slices.Index(v.proxies, a.Proxy), slices.Index(v.proxies, b.Proxy)),
	)
}

// Column is one condition of rows.
type Column struct {
	Head   string
	Of     func(*measure.Row) string
	Right  bool                // its cells are numbers
	always bool                // shown although it is the same everywhere
	alone  func(string) string // as said once for all rows
}

// conditions in the order of columns.
var conditions = []Column{
	{Head: "nodes", Of: func(r *measure.Row) string { return thousands(number(r.Nodes)) }, Right: true, alone: after(" nodes")},
	{Head: "pods", Of: func(r *measure.Row) string { return thousands(number(r.Pods)) }, Right: true, always: true},
	{Head: "where", Of: func(r *measure.Row) string { return r.Where }, alone: after("")},
	{Head: "Services", Of: func(r *measure.Row) string { return thousands(number(r.Services)) }, Right: true, always: true},
	{Head: "endpoints", Of: func(r *measure.Row) string { return r.Endpoints }, alone: after(" endpoints a Service")},
	{Head: "through", Of: through, alone: func(s string) string {
		return "through " + strings.Replace("the "+s, "the "+past, "no", 1) + " Service"
	}},
	{Head: "proxy", Of: func(r *measure.Row) string { return r.Proxy }, always: true},
}

// Conditions are those that rows differ in, in the order of columns, and in words those that are the same in all of them. The
// proxy and the size are always columns.
func Conditions(rows []*measure.Row) (shown []Column, same []string) {
	for _, c := range conditions {
		values := map[string]bool{}
		for _, r := range rows {
			if text := c.Of(r); text != "" {
				values[text] = true
			}
		}
		switch {
		case len(values) > 1 || len(values) == 1 && c.always:
			shown = append(shown, c)
		case len(values) == 1:
			for text := range values {
				same = append(same, c.alone(text))
			}
		}
	}
	return shown, same
}

// after puts words behind a number, their plural's s left away for one.
func after(text string) func(string) string {
	return func(s string) string {
		if s == "1" {
			return s + strings.Replace(strings.Replace(text, "endpoints", "endpoint", 1), "nodes", "node", 1)
		}
		return s + text
	}
}

// past is said of rows that go to a pod's own address although a proxy is there.
const past = "none"

func through(r *measure.Row) string {
	switch {
	case r.Through != direct:
		return r.Through
	case r.Proxy == direct:
		return "" // its name says so
	}
	return past
}

// words for the conditions of a row, without the proxy: "the last of 10,000 Services".
func (v *view) words(r *measure.Row) string {
	var words []string
	for _, c := range v.shown {
		switch text := c.Of(r); {
		case text == "" || c.Head == "proxy":
		case c.Head == "through" && r.Services == 0:
			words = append(words, "through "+text)
		case c.Head == "through":
		case c.Head == "Services" && through(r) == past:
			words = append(words, "past "+text+" Services")
		case c.Head == "Services" && through(r) != "":
			words = append(words, "the "+through(r)+" of "+text+" Services")
		case c.Head == "where":
			words = append(words, text)
		case c.Head == "endpoints":
			words = append(words, text+" endpoints each")
		default:
			words = append(words, text+" "+c.Head)
		}
	}
	return strings.Join(words, ", ")
}

// ratio is the row's median over that of the reference under the same conditions; NaN where there is none.
func (v *view) ratio(b *block, row *measure.Row) float64 {
	base := math.NaN()
	for _, other := range b.rows {
		m := measure.Median(other.Samples)
		switch {
		case !comparable(row, other, v.reference) || math.IsNaN(m):
		case v.reference != "" && other.Proxy == v.reference:
			return measure.Median(row.Samples) / m
		case v.reference == "" && (math.IsNaN(base) || b.unit.HigherIsBetter() == (m > base)):
			base = m
		}
	}
	return measure.Median(row.Samples) / base
}

// comparable reports whether the rows differ in nothing but the proxy. Without a proxy there are no Services.
func comparable(a, b *measure.Row, reference string) bool {
	ka, kb := a.Key(), b.Key()
	ka.Proxy, kb.Proxy = "", ""
	if reference == direct {
		ka.Services, ka.Endpoints, ka.Through = 0, "", ""
		kb.Services, kb.Endpoints, kb.Through = 0, "", ""
	}
	return ka == kb
}

// ratioHead is the head of the column of ratios, "" when there is nothing to compare.
func (v *view) ratioHead() string {
	switch {
	case len(v.proxies) < 2:
		return ""
	case v.reference == "":
		return "of the best"
	}
	return "of " + v.reference
}

// to is what ratios are to, in words.
func (v *view) to() string {
	if v.reference == "" {
		return "the best"
	}
	return v.reference
}

// statistic is a column of numbers.
type statistic struct {
	head string
	of   func(*measure.Summary) float64
}

var (
	median  = statistic{"median", func(s *measure.Summary) float64 { return s.Median }}
	p95     = statistic{"p95", func(s *measure.Summary) float64 { return s.P95 }}
	p99     = statistic{"p99", func(s *measure.Summary) float64 { return s.P99 }}
	p999    = statistic{"p99.9", func(s *measure.Summary) float64 { return s.P999 }}
	minimum = statistic{"min", func(s *measure.Summary) float64 { return s.Min }}
	maximum = statistic{"max", func(s *measure.Summary) float64 { return s.Max }}
)

// statistics that are shown of a block: the bad end of the samples matters.
func (v *view) statistics(b *block) []statistic {
	switch {
	case b.unit.HigherIsBetter():
		return []statistic{median, minimum, maximum}
	case v.Kind == measure.Datapath && b.unit == measure.Seconds:
		return []statistic{median, p99, p999, maximum}
	}
	return []statistic{median, p95, maximum}
}
