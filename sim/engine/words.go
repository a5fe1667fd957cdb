package engine

import (
	"fmt"
	"strings"

	"svclab/sim/scenario"
)

func targetText(t scenario.Target) string {
	switch {
	case t.Echo() && t.Addr.IsValid():
		return t.Addr.Addr().String() + "/" + t.Proto
	case t.Echo():
		return refText(t.Ref) + "/" + t.Proto
	}
	if t.Addr.IsValid() {
		return strings.TrimSuffix(t.Addr.String()+"/"+t.Proto, "/")
	}
	return strings.TrimSuffix(refText(t.Ref)+":"+t.Port+"/"+t.Proto, "/")
}

func refText(r scenario.Ref) string {
	if r.Namespace == "" || r.Namespace == "default" {
		return r.Kind + "/" + r.Name
	}
	return r.Kind + "/" + r.Namespace + "/" + r.Name
}

func refTexts(refs []scenario.Ref) string {
	var words []string
	for _, r := range refs {
		words = append(words, refText(r))
	}
	return strings.Join(words, ", ")
}

func probeText(p *scenario.Probe) string {
	if p.Everything {
		return "probe everything"
	}
	var to []string
	for _, t := range p.To {
		to = append(to, targetText(t))
	}
	text := fmt.Sprintf("probe %s → %s", refTexts(p.From), strings.Join(to, ", "))
	if p.Fair != nil {
		text += fmt.Sprintf(", fair within %.0f %%", 100*p.Fair.Bias)
	}
	return text
}

func changeText(c *scenario.Change) string {
	var words []string
	if len(c.Delete) > 0 {
		words = append(words, "delete "+refTexts(c.Delete))
	}
	if len(c.Apply) > 0 {
		var refs []scenario.Ref
		for _, o := range c.Apply {
			refs = append(refs, o.Ref)
		}
		words = append(words, "apply "+refTexts(refs))
	}
	if len(c.Merge) > 0 {
		var refs []scenario.Ref
		for _, m := range c.Merge {
			refs = append(refs, m.Ref)
		}
		words = append(words, "patch "+refTexts(refs))
	}
	text := strings.Join(words, ", ")
	if c.Repeat > 1 {
		text += fmt.Sprintf(" and back, %d changes", c.Repeat)
	}
	if c.During != nil {
		text += ", under new flows"
	}
	return text
}

func restartText(s *scenario.Restart) string {
	text := "restart the proxies of " + nodesText(s.Nodes)
	if s.During != nil {
		text += ", under new flows"
	}
	return text
}

func nodesText(names []string) string {
	if len(names) == 0 {
		return "all nodes"
	}
	return strings.Join(names, ", ")
}
