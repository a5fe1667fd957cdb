package foreign

import (
	"context"
	"fmt"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metricInForce is svclab's own: of the objects and events of a resource that the proxy was handed the ones that are in force.
const metricInForce = "svclab_feed_in_force_total"

// fed says by svclab's metrics what is missing until the last state is in force; empty: nothing.
func (p *Proxy) fed(ctx context.Context) string {
	text, err := p.Metrics(ctx)
	if err != nil {
		return fmt.Sprintf("its metrics cannot be read: %v", err)
	}
	p.remember(text)
	inForce, err := readInForce(text)
	if err != nil {
		return err.Error()
	}
	if len(inForce) == 0 {
		return "its metrics have no " + metricInForce
	}
	for resource, done := range inForce {
		switch handed, all := p.options.Feed.Handed(p.options.Profile.agent(), resource); {
		case !all:
			return "it has not read what the API server has for it of " + resource
		case done < handed:
			return fmt.Sprintf("of %d %s and their changes that it was handed %d are in force", handed, resource, done)
		}
	}
	return ""
}

// readInForce is metricInForce by resource.
func readInForce(text string) (map[string]uint64, error) {
	i := strings.Index(text, "# TYPE "+metricInForce+" ")
	if i < 0 {
		return nil, nil
	}
	text = text[i:]
	if end := strings.Index(text, "\n#"); end >= 0 {
		text = text[:end+1]
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	out := map[string]uint64{}
	for _, m := range all[metricInForce].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "resource" {
				out[l.GetValue()] = uint64(m.GetCounter().GetValue())
			}
		}
	}
	return out, nil
}
