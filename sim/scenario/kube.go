package scenario

import (
	"reflect"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json" // as the API server reads: the case of keys matters, integers stay integers
)

// kubeKind is a kind of Kubernetes object that the lab needs.
type kubeKind struct {
	api, kind, word string // word is what a Ref calls it
	namespaced      bool
	name            *regexp.Regexp
	fresh           func() runtime.Object
}

var kubeKinds = []*kubeKind{
	{"v1", "Service", "service", true, label, func() runtime.Object { return new(corev1.Service) }},
	{"v1", "Pod", "pod", true, subdomain, func() runtime.Object { return new(corev1.Pod) }},
	{"v1", "Node", "node", false, subdomain, func() runtime.Object { return new(corev1.Node) }},
	{"discovery.k8s.io/v1", "EndpointSlice", "endpointslice", true, subdomain, func() runtime.Object { return new(discoveryv1.EndpointSlice) }},
}

func kindOf(word string) *kubeKind {
	for _, k := range kubeKinds {
		if k.word == word {
			return k
		}
	}
	return nil
}

// object reads one Kubernetes object; nil when it was ignored or cannot be named.
func (p *parser) object(v *value, api, kind string) *located {
	k := p.kindFor(v, api, kind)
	if k == nil {
		return nil
	}
	before := len(p.problems)
	fresh := k.fresh()
	p.fits(v, reflect.TypeOf(fresh).Elem(), "")
	meta := v.get("metadata")
	name := p.word(meta.get("name"), "metadata.name", k.name)
	if name == "" {
		if meta.get("name").absent() {
			p.problem(v.at("metadata"), "the %s has no name: write \"metadata: {name: …}\"", k.kind)
		}
		p.unnamed = true
		return nil
	}
	l := &located{Object: Object{Pos: v.Pos, Ref: Ref{Kind: k.word, Name: name}}, v: v}
	if k.namespaced {
		l.Ref.Namespace = corev1.NamespaceDefault
		if ns := p.word(meta.get("namespace"), "metadata.namespace", label); ns != "" {
			l.Ref.Namespace = ns
		}
	}
	if len(p.problems) > before {
		return l
	}
	if err := json.Unmarshal(v.json(), fresh); err != nil {
		p.problem(v.Pos, "this is no %s: %v", k.kind, err)
		return l
	}
	fresh.(metav1.Object).SetNamespace(l.Ref.Namespace)
	l.Object.Object, l.sound = fresh, true
	return l
}

// kindFor finds the kind; one that the lab does not need is counted, but one that is only misspelt is a mistake.
func (p *parser) kindFor(v *value, api, kind string) *kubeKind {
	for _, k := range kubeKinds {
		if k.api == api && k.kind == kind {
			return k
		}
	}
	for _, k := range kubeKinds {
		switch {
		case k.kind == kind:
			p.problem(v.at("apiVersion"), "%s is of apiVersion %q, not %q", kind, k.api, api)
		case k.api == api && (strings.EqualFold(kind, k.kind) || strings.EqualFold(kind, k.kind+"s")):
			p.problem(v.at("kind"), "unknown kind %q: did you mean %q?", kind, k.kind)
		case k.api == api && kind == k.kind+"List":
			p.problem(v.at("kind"), "a %s comes from the API itself: write kind List with apiVersion v1, and each item with its own kind, as kubectl prints them", kind)
		default:
			continue
		}
		p.unnamed = true
		return nil
	}
	p.scenario.Ignored[api+" "+kind]++
	return nil
}
