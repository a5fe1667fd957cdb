package kubeapi

import (
	"encoding/json"
	"net/http"
	"runtime"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// Version is that of the API as it is served here: of Kubernetes, whose types these are.
const Version = "v1.36.3"

var groups = []schema.GroupVersion{discovery, networking, events}

// discover answers what there is: /api, /apis, their groups and versions, /version, and how the server feels.
func (s *Server) discover(w http.ResponseWriter, r *http.Request, path []string) {
	e, err := negotiate(r)
	if err != nil { // newer kubectl asks for aggregated discovery first, and takes this where there is none
		r.Header.Set("Accept", asJSON)
		e, _ = negotiate(r)
	}
	at := func(gv schema.GroupVersion) bool {
		prefix := "apis/" + gv.String()
		if gv.Group == "" {
			prefix = "api/" + gv.Version
		}
		return strings.Join(path, "/") == prefix
	}
	switch first := path[0]; {
	case len(path) == 1 && (first == "healthz" || first == "livez" || first == "readyz"):
		_, _ = w.Write([]byte("ok"))
		return
	case len(path) == 1 && first == "version":
		w.Header().Set("Content-Type", asJSON)
		_ = json.NewEncoder(w).Encode(version.Info{Major: "1", Minor: "36", GitVersion: Version, GitTreeState: "svclab", GoVersion: runtime.Version(),
			Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH})
		return
	case len(path) == 1 && first == "api":
		e.write(w, http.StatusOK, &metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions", APIVersion: "v1"}, Versions: []string{"v1"}})
		return
	case len(path) == 1 && first == "apis":
		list := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for _, gv := range groups {
			list.Groups = append(list.Groups, group(gv))
		}
		e.write(w, http.StatusOK, list)
		return
	case len(path) == 2 && first == "apis":
		for _, gv := range groups {
			if gv.Group == path[1] {
				g := group(gv)
				g.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
				e.write(w, http.StatusOK, &g)
				return
			}
		}
	}
	for _, gv := range append([]schema.GroupVersion{core}, groups...) {
		if at(gv) {
			e.write(w, http.StatusOK, resourcesOf(gv))
			return
		}
	}
	s.options.Log.Debug("no such path", "path", r.URL.Path, "agent", r.UserAgent())
	s.fail(w, r, http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource")
}

func group(gv schema.GroupVersion) metav1.APIGroup {
	v := metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version}
	return metav1.APIGroup{Name: gv.Group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v}
}

func resourcesOf(gv schema.GroupVersion) *metav1.APIResourceList {
	list := &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String()}
	for _, r := range resources {
		if r.GroupVersion != gv {
			continue
		}
		verbs := metav1.Verbs{"get", "list", "watch"}
		if r.kind == "Event" {
			verbs = append(verbs, "create", "patch")
		}
		list.APIResources = append(list.APIResources, metav1.APIResource{
			Name: r.name, SingularName: strings.ToLower(r.kind), Namespaced: r.namespaced, Kind: r.kind, Verbs: verbs, ShortNames: r.short,
		})
	}
	return list
}
