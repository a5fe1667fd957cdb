package nftables

import "net/netip"

// refs counts who needs an element of a set of addresses (cluster-ips, hairpin), and knows which are in the kernel.
// An element comes with the first who needs it; when nobody does, it goes with the next sweep.
type refs struct {
	of   map[netip.Addr]ref
	idle []netip.Addr // may be needed by nobody
}

type ref struct {
	count  int
	placed bool // in the kernel
}

func newRefs() refs { return refs{of: map[netip.Addr]ref{}} }

func (r *refs) placed(a netip.Addr) bool { return r.of[a].placed }

// found records an element that the kernel has and that nobody has asked for yet.
func (r *refs) found(a netip.Addr) {
	r.of[a] = ref{placed: true}
	r.idle = append(r.idle, a)
}

// need counts one more; it reports whether the element must be added.
func (r *refs) need(a netip.Addr) (add bool) {
	v := r.of[a]
	r.of[a] = ref{v.count + 1, true}
	return !v.placed
}

func (r *refs) release(a netip.Addr) {
	v := r.of[a]
	v.count--
	r.of[a] = v
	if v.count == 0 {
		r.idle = append(r.idle, a)
	}
}

// sweep calls drop for every element that nobody needs, until one cannot be dropped.
func (r *refs) sweep(drop func(a netip.Addr) error) error {
	for i, a := range r.idle {
		if v, ok := r.of[a]; ok && v.count == 0 {
			if err := drop(a); err != nil {
				r.idle = r.idle[i:]
				return err
			}
			delete(r.of, a)
		}
	}
	r.idle = r.idle[:0]
	return nil
}
