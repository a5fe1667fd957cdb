package scenario

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// controllerName is what the endpointslice controller puts into the label of the slices that it keeps.
const controllerName = "endpointslice-controller.k8s.io"

// byController: the endpointslice controller wrote it, and replaces it by what it derives from the pods.
func byController(o *discoveryv1.EndpointSlice) bool {
	return o.Labels[discoveryv1.LabelManagedBy] == controllerName
}

// replacedBy is the Service from whose pods a slice of the controller's is derived, nil when it counts as it is written.
func (t *there) replacedBy(o *discoveryv1.EndpointSlice) *located {
	l := t.objects[Ref{"service", o.Namespace, o.Labels[discoveryv1.LabelServiceName]}]
	if l == nil || !byController(o) {
		return nil
	}
	if svc, ok := l.Object.Object.(*corev1.Service); !ok || len(svc.Spec.Selector) == 0 || svc.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	return l
}

// checkManaged: kubectl prints the controller's slices with everything else, so that they are in pasted files.
func (p *parser) checkManaged(l *located, o *discoveryv1.EndpointSlice, now *there) {
	if svc := now.replacedBy(o); svc == nil {
		p.checkJudged(l)
	} else if slices.Contains(p.objects, l) {
		p.warn(l.Pos, "%s is the endpointslice controller's: what counts here is what the lab derives from the pods of %s in its place", l.Ref, svc.Ref)
	}
}

// undone says that the controller would take back what a step does to a slice of its own.
func (p *parser) undone(at Pos, r Ref, now *there) {
	l := now.objects[r]
	if l == nil || !l.sound {
		return
	}
	if o, ok := l.Object.Object.(*discoveryv1.EndpointSlice); ok {
		if svc := now.replacedBy(o); svc != nil {
			p.problem(at, "%s is the endpointslice controller's, which would undo this: change the pods of %s instead, or leave out the label %s", r, svc.Ref, discoveryv1.LabelManagedBy)
		}
	}
}
