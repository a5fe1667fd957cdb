package kubeapi

import (
	"crypto/sha1"
	"fmt"
	"maps"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// object is any API object.
type object interface {
	runtime.Object
	metav1.Object
}

// collection is all objects of a resource, and what happened to them lately.
type collection struct {
	*resource
	items   map[string]object // by "namespace/name", or "name"
	sources map[string]object // as they were given: one that is given again has not changed
	sorted  []object          // by key; nil when it must be made anew
	log     []event           // the last Options.History or more
	trimmed uint64            // events up to this version are forgotten
	cuts    []cut             // the last lists that were handed out in parts
}

// event is one change. was is the object before it, nil when there was none.
type event struct {
	version uint64
	typ     watch.EventType
	now     object // deleted ones: the last state
	was     object
}

// put adds or replaces an object, unless it is the same.
func (s *Server) put(r *resource, key string, o object) {
	c := s.collections[r]
	if c.sources[key] == o {
		return
	}
	if c.sources == nil {
		c.sources = map[string]object{}
	}
	c.sources[key] = o
	s.version++
	was := c.items[key]
	now := c.shallow(o)
	now.SetResourceVersion(versionText(s.version))
	if now.GetUID() == "" { // what a real server gives an object at its creation
		if was == nil {
			now.SetUID(uid(c.kind + " " + key + " " + now.GetResourceVersion()))
		} else {
			now.SetUID(was.GetUID())
		}
	}
	if at := now.GetCreationTimestamp(); at.IsZero() {
		if was == nil {
			now.SetCreationTimestamp(metav1.Now())
		} else {
			now.SetCreationTimestamp(was.GetCreationTimestamp())
		}
	}
	typ := watch.Modified
	if was == nil {
		typ = watch.Added
	}
	c.items[key] = now
	s.append(c, event{s.version, typ, now, was})
}

func (s *Server) drop(r *resource, key string) {
	c := s.collections[r]
	was := c.items[key]
	if was == nil {
		return
	}
	s.version++
	gone := c.shallow(was)
	gone.SetResourceVersion(versionText(s.version)) // that of its deletion
	delete(c.items, key)
	delete(c.sources, key)
	s.append(c, event{s.version, watch.Deleted, gone, was})
}

// append adds to the log, and cuts it now and then.
func (s *Server) append(c *collection, e event) {
	c.sorted = nil
	c.log = append(c.log, e)
	if extra := len(c.log) - s.options.History; extra > s.options.History/4 {
		c.trimmed = c.log[extra-1].version
		c.log = slices.Clone(c.log[extra:])
	}
}

// since returns the events after a version, at most some hundreds; false when some of them are forgotten.
func (c *collection) since(version uint64) ([]event, bool) {
	if version < c.trimmed {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(c.log, version+1, func(e event, v uint64) int {
		switch {
		case e.version < v:
			return -1
		case e.version > v:
			return 1
		}
		return 0
	})
	const atOnce = 256
	return slices.Clone(c.log[i:min(len(c.log), i+atOnce)]), true
}

// all is every object, by key. It is never changed: a change makes another.
func (c *collection) all() []object {
	if c.sorted == nil {
		c.sorted = make([]object, 0, len(c.items))
		for _, k := range slices.Sorted(maps.Keys(c.items)) {
			c.sorted = append(c.sorted, c.items[k])
		}
	}
	return c.sorted
}

func keyOf(o metav1.Object) string {
	if o.GetNamespace() == "" {
		return o.GetName()
	}
	return o.GetNamespace() + "/" + o.GetName()
}

func versionText(v uint64) string { return strconv.FormatUint(v, 10) }

// uid is of the form of a UUID, version 5, and a function of the text.
func uid(text string) types.UID {
	h := sha1.Sum([]byte(text))
	h[6], h[8] = h[6]&0x0f|0x50, h[8]&0x3f|0x80
	return types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16]))
}
