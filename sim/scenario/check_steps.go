package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
)

// there is what exists while the steps are gone through.
type there struct {
	objects map[Ref]*located
	gone    map[Ref]int // the line of the step that deleted it
}

// checkSteps goes through the steps as they will be carried out: a name must mean something at its step.
func (p *parser) checkSteps() {
	now := &there{map[Ref]*located{}, map[Ref]int{}}
	for _, l := range p.objects {
		if now.objects[l.Ref] == nil {
			now.objects[l.Ref] = l
		}
	}
	p.checkTogether(now, p.objects)
	p.checkSelectors()
	for i, s := range p.scenario.Steps {
		if p.lost && i > p.lostAfter {
			return // what is not there might be what the unreadable change would have made
		}
		switch {
		case s.Probe != nil:
			p.checkProbe(s.Probe, now)
		case s.Change != nil:
			before := now
			now = p.checkChange(s.Change, now)
			if d := s.Change.During; d != nil {
				p.checkProbe(d, before.or(now))
			}
			if s.Change.Repeat%2 == 0 && s.Change.Repeat > 0 {
				now = before // the last change takes the one before back
			}
		case s.Restart != nil:
			p.checkNodes(s.Restart, s.Restart.Nodes, now)
			if d := s.Restart.During; d != nil {
				p.checkProbe(d, now)
			}
		case s.Flush != nil:
			p.checkNodes(s.Flush, s.Flush.Nodes, now)
		case s.Health != nil:
			p.checkHealth(s.Health, now)
		}
	}
}

func (t *there) clone() *there { return &there{maps.Clone(t.objects), maps.Clone(t.gone)} }

// or has what is there before a change, and the places that are there after it: flows under the change may come from
// either, but a Service's address is looked up before.
func (t *there) or(after *there) *there {
	c := t.clone()
	for r, l := range after.objects {
		if c.objects[r] == nil && r.Kind != "service" {
			c.objects[r] = l
		}
	}
	return c
}

// missing says that there is no such object at this step, and where it went.
func (p *parser) missing(at Pos, r Ref, now *there) bool {
	switch line, was := now.gone[r]; {
	case now.objects[r] != nil:
		return false
	case p.unnamed: // it may be the one that has no name
	case was:
		p.problem(at, "there is no %s at this step: it was deleted in line %d", r, line)
	case p.written(r) != nil:
		p.problem(at, "there is no %s at this step: it is made later", r)
	default:
		p.problem(at, "there is no %s%s", r, p.nearest(r))
	}
	return true
}

// nearest is the hint for a name that is nowhere in the file.
func (p *parser) nearest(r Ref) string {
	var names []string
	for _, l := range slices.Concat(p.objects, p.inline) {
		if l.Ref.Kind == r.Kind {
			names = append(names, l.Ref.String())
		}
	}
	hint := didYouMean(r.String(), names)
	switch {
	case hint != "":
		return hint
	case len(names) == 0:
		return fmt.Sprintf(": the file has no %s", r.Kind)
	}
	slices.Sort(names)
	return ". " + knownWords(slices.Compact(names)[:min(len(slices.Compact(names)), 8)])
}

// ended: a pod whose containers have ended for good has no network any more, and its address may be another's.
func (l *located) ended() bool {
	pod, ok := l.Object.Object.(*corev1.Pod)
	return ok && l.sound && (pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed)
}

func (p *parser) checkProbe(pr *Probe, now *there) {
	if pr.Everything {
		for r := range now.objects {
			if r.Kind == "service" {
				return
			}
		}
		if !p.unnamed && len(now.objects) > 0 {
			p.problem(pr.Pos, "\"probe: everything\" asks every Service, and there is none: add a v1 Service")
		}
		return
	}
	p.checkFrom(pr.From, p.at[pr], now)
	if pr.Via != "" {
		p.missing(p.at[via{pr}][0], Ref{Kind: "node", Name: pr.Via}, now)
	}
	for _, t := range pr.To {
		p.checkWire(pr, t, now)
		if t.Addr.IsValid() || p.missing(t.Pos, t.Ref, now) || t.Ref.Kind != "service" {
			continue
		}
		if o, ok := now.objects[t.Ref].Object.Object.(*corev1.Service); ok {
			p.checkServiceTarget(t, o, pr.Expect != "")
		}
	}
}

// checkFrom: each sender must be there at this step.
func (p *parser) checkFrom(from []Ref, where []Pos, now *there) {
	for i, r := range from {
		at := where[i]
		if r.Kind != "client" {
			if !p.missing(at, r, now) && now.objects[r].ended() {
				p.problem(at, "%s has ended (its phase says so), and sends nothing", r)
			}
			continue
		}
		var names []string
		for _, c := range p.scenario.Clients {
			names = append(names, c.Name)
		}
		if !slices.Contains(names, r.Name) {
			hint := didYouMean(r.Name, names)
			if hint == "" {
				hint = fmt.Sprintf(": add \"clients: [{name: %s}]\" to the spec", r.Name)
			}
			p.problem(at, "there is no client %q%s", r.Name, hint)
		}
	}
}

// checkServiceTarget: a Service without an address cannot be asked. A number that is none of its ports can: it is a
// question like any other.
func (p *parser) checkServiceTarget(t Target, o *corev1.Service, meant bool) {
	switch {
	case o.Spec.Type == corev1.ServiceTypeExternalName:
		p.problem(t.Pos, "%s is an ExternalName: it has no address to probe", t.Ref)
		return
	case o.Spec.ClusterIP == corev1.ClusterIPNone || slices.Contains(o.Spec.ClusterIPs, corev1.ClusterIPNone):
		p.problem(t.Pos, "%s is headless: it has no address to probe; probe its pods instead", t.Ref)
		return
	}
	if t.Echo() {
		return
	}
	if n, err := strconv.Atoi(t.Port); err == nil {
		is := func(port corev1.ServicePort) bool { return int(port.Port) == n }
		if !meant && !slices.ContainsFunc(o.Spec.Ports, is) {
			p.warn(t.Pos, "%s has no port %d, so nobody will answer; if that is the question, say so with \"expect:\"", t.Ref, n)
		}
		return
	}
	var names []string
	for _, port := range o.Spec.Ports {
		if port.Name != "" {
			names = append(names, port.Name)
		}
		if port.Name == t.Port {
			return
		}
	}
	if len(names) == 0 {
		p.problem(t.Pos, "%s has no port named %q: its ports have no names, only numbers", t.Ref, t.Port)
		return
	}
	hint := didYouMean(t.Port, names)
	if hint == "" {
		hint = "."
	}
	p.problem(t.Pos, "%s has no port named %q%s %s", t.Ref, t.Port, hint, knownWords(names))
}

// checkChange returns what is there after the change.
func (p *parser) checkChange(c *Change, now *there) *there {
	next := now.clone()
	for i, r := range c.Delete {
		if !p.missing(p.at[c][i], r, next) {
			p.undone(p.at[c][i], r, next)
			delete(next.objects, r)
			next.gone[r] = c.Line
		}
	}
	var fresh []*located
	for _, o := range c.Apply {
		l := p.locate(o)
		next.objects[o.Ref] = l
		delete(next.gone, o.Ref)
		fresh = append(fresh, l)
	}
	for _, o := range c.Apply {
		p.undone(o.Pos, o.Ref, next)
	}
	for i, m := range c.Merge {
		if p.missing(m.Pos, m.Ref, next) {
			continue
		}
		p.undone(m.Pos, m.Ref, next)
		l := p.patched(next.objects[m.Ref], p.patches[c][i])
		next.objects[m.Ref] = l
		fresh = append(fresh, l)
	}
	p.checkTogether(next, fresh)
	return next
}

// patched is an object after a merge patch; the result is checked like any object.
func (p *parser) patched(l *located, patch *value) *located {
	if !l.sound {
		return l
	}
	out := *l
	out.v, out.named = l.v.merged(patch), Pos{}
	out.Object.Object = kindOf(l.Ref.Kind).fresh()
	if err := json.Unmarshal(out.v.json(), out.Object.Object); err != nil {
		p.problem(patch.Pos, "after this patch %s is none: %v", l.Ref, err)
		return l
	}
	if svc, ok := out.Object.Object.(*corev1.Service); ok {
		out.v = out.v.retyped(&l.Object.Object.(*corev1.Service).Spec, &svc.Spec, patch)
		*svc = corev1.Service{}
		if err := json.Unmarshal(out.v.json(), svc); err != nil { // less of what was one is one
			panic(fmt.Sprintf("read %s without some fields: %v", l.Ref, err))
		}
	}
	out.Object.Object.(metav1.Object).SetNamespace(l.Ref.Namespace)
	p.checkObject(&out)
	return &out
}

// locate finds the text of what a change applies; an object that is only named has its problems told where it is named.
func (p *parser) locate(o Object) *located {
	for _, l := range p.inline {
		if l.Ref == o.Ref && l.Pos == o.Pos {
			return l
		}
	}
	l := *p.written(o.Ref)
	l.Pos, l.named = o.Pos, o.Pos
	return &l
}
