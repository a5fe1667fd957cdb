package main

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"svclab/proxycore/cluster"
	"svclab/sim/describe"
	"svclab/sim/kubeapi"
)

// kubectlKinds are kubectl's words for the kinds that can be described.
var kubectlKinds = map[string]string{
	"service": "service", "services": "service", "svc": "service", "endpoints": "endpoints", "ep": "endpoints", "endpoint": "endpoints",
	"endpointslice": "endpointslice", "endpointslices": "endpointslice", "node": "node", "nodes": "node", "no": "node",
	"pod": "pod", "pods": "pod", "po": "pod",
}

// described is an object that is described.
type described struct {
	kind      string
	key       cluster.Key
	meta      *metav1.ObjectMeta
	describe  func(io.Writer, *cluster.Snapshot) error
	service   cluster.Key // of an EndpointSlice
	addresses []string    // of a pod, or of an EndpointSlice's endpoints
}

// isKind reports whether kubectl would take the word for kinds, or for a kind and a name.
func isKind(word string) bool {
	kinds, _, _ := strings.Cut(word, "/")
	for k := range strings.SplitSeq(kinds, ",") {
		if kubectlKinds[strings.ToLower(k)] == "" {
			return false
		}
	}
	return true
}

// resolve finds what arguments as kubectl takes them name in a state.
func resolve(state *cluster.Snapshot, args []string, namespace string, only selector) (out []described, err error) {
	all := objectsOf(state)
	kinds, names := strings.Split(strings.ToLower(args[0]), ","), args[1:]
	type one struct{ kind, namespace, name string }
	var list []one
	if slashed := strings.Contains(args[0], "/"); slashed {
		for _, a := range args {
			parts := strings.Split(a, "/")
			switch len(parts) {
			case 2:
				list = append(list, one{strings.ToLower(parts[0]), namespace, parts[1]})
			case 3:
				list = append(list, one{strings.ToLower(parts[0]), parts[1], parts[2]})
			default:
				return nil, fmt.Errorf("%q does not say what it is: write KIND/NAME, such as service/myservice, for each", a)
			}
		}
	} else {
		for _, k := range kinds {
			for _, n := range names {
				if strings.Contains(n, "/") {
					ns, name, _ := strings.Cut(n, "/")
					list = append(list, one{k, ns, name})
				} else {
					list = append(list, one{k, namespace, n})
				}
			}
			if len(names) == 0 {
				list = append(list, one{k, namespace, ""})
			}
		}
	}
	for _, o := range list {
		kind := kubectlKinds[o.kind]
		if kind == "" {
			return nil, fmt.Errorf("unknown kind %q; there are service, endpoints, endpointslice, node, pod", o.kind)
		}
		found, err := find(all, kind, o.namespace, o.name)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	out = slices.DeleteFunc(out, func(a described) bool { return only.Selector != nil && !only.Matches(labels.Set(a.meta.Labels)) })
	if len(out) == 0 {
		return nil, fmt.Errorf("no %s matches --selector %q", strings.Join(kinds, ","), only.String())
	}
	return out, nil
}

// find is by name, then by the beginning of names, as kubectl does; without a name all are meant.
func find(all []described, kind, namespace, name string) (out []described, err error) {
	var there []string
	in := func(a described) bool {
		return kind == "node" || a.key.Namespace == cmp.Or(namespace, map[bool]string{true: a.key.Namespace, false: corev1.NamespaceDefault}[name == ""])
	}
	for _, a := range all {
		if a.kind != kind {
			continue
		}
		there = append(there, strings.TrimPrefix(strings.TrimPrefix(a.key.String(), "default/"), "/"))
		if in(a) && (name == "" || a.key.Name == name) {
			out = append(out, a)
		}
	}
	if len(out) == 0 && name != "" {
		for _, a := range all {
			if a.kind == kind && in(a) && strings.HasPrefix(a.key.Name, name) {
				out = append(out, a)
			}
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	what := strings.TrimSpace(kind + " " + name)
	if namespace != "" && kind != "node" {
		what += " in namespace " + namespace
	}
	if len(there) == 0 {
		return nil, fmt.Errorf("there is no %s, and no other either", what)
	}
	return nil, fmt.Errorf("there is no %s; there are %s", what, strings.Join(there, ", "))
}

// objectsOf is everything in a state that can be described, by kind, namespace and name.
func objectsOf(state *cluster.Snapshot) (all []described) {
	for svc := range state.Services() {
		all = append(all, described{kind: "service", key: svc.Key, meta: &svc.Object.ObjectMeta, describe: func(w io.Writer, s *cluster.Snapshot) error {
			return describe.Service(w, svc.Object, s)
		}})
		if e := kubeapi.EndpointsOf(state, svc.Key); e != nil {
			all = append(all, described{kind: "endpoints", key: svc.Key, meta: &e.ObjectMeta, describe: func(w io.Writer, _ *cluster.Snapshot) error {
				return describe.Endpoints(w, e)
			}})
		}
	}
	for _, c := range cluster.Changes(nil, state, true) {
		for _, sl := range c.NowSlices {
			a := described{kind: "endpointslice", key: sl.Key, service: sl.Service, meta: &sl.Object.ObjectMeta, describe: func(w io.Writer, _ *cluster.Snapshot) error {
				return describe.EndpointSlice(w, sl.Object)
			}}
			for _, at := range sl.Addresses {
				a.addresses = append(a.addresses, at.String())
			}
			all = append(all, a)
		}
	}
	var pods []*corev1.Pod
	for _, key := range cluster.Diff(nil, state).Pods {
		pod := state.Pod(key)
		pods = append(pods, pod)
		a := described{kind: "pod", key: key, meta: &pod.ObjectMeta, describe: func(w io.Writer, _ *cluster.Snapshot) error { return describe.Pod(w, pod) }}
		for _, ip := range pod.Status.PodIPs {
			if at, ok := cluster.ParseAddr(ip.IP); ok {
				a.addresses = append(a.addresses, at.String())
			}
		}
		all = append(all, a)
	}
	for n := range state.Nodes() {
		var on []*corev1.Pod
		for _, p := range pods {
			if p.Spec.NodeName == n.Name && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
				on = append(on, p)
			}
		}
		all = append(all, described{kind: "node", key: cluster.Key{Name: n.Name}, meta: &n.Object.ObjectMeta, describe: func(w io.Writer, _ *cluster.Snapshot) error {
			return describe.Node(w, n.Object, on)
		}})
	}
	return all
}

// addressOf is the address of "10.244.1.10:8080".
func addressOf(text string) string {
	at, _ := netip.ParseAddrPort(text)
	return at.Addr().String()
}
