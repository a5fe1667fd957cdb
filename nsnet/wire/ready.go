package wire

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// Ready returns when the device carries packets and the namespace takes those to the addresses for its own. The kernel does
// either in a work queue, after the call that asked for it has returned (net/core/link_watch.c; net/ipv6/addrconf.c,
// addrconf_dad_work), and until then packets are dropped without a word: on a busy machine for some hundred milliseconds.
// TCP hides that behind a retransmission, a lone datagram is lost.
func Ready(ctx context.Context, ns *nsnet.NS, dev string, addrs ...netip.Addr) error {
	h, err := ns.Netlink()
	if err != nil {
		return err
	}
	for what := range unready(h, dev, addrs) {
		for began := time.Now(); ; {
			ok, err := what.done()
			if err != nil {
				return fmt.Errorf("wait for %s in namespace %s: %w", what.name, ns.Name(), err)
			}
			if ok {
				break
			}
			if time.Since(began) > patience {
				return fmt.Errorf("wait for %s in namespace %s: not there after %s", what.name, ns.Name(), patience)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Millisecond):
			}
		}
	}
	return nil
}

// patience is far longer than the kernel takes.
const patience = 30 * time.Second

type condition struct {
	name string
	done func() (bool, error)
}

func unready(h *netlink.Handle, dev string, addrs []netip.Addr) func(yield func(condition) bool) {
	return func(yield func(condition) bool) {
		if !yield(condition{"device " + dev, func() (bool, error) {
			link, err := h.LinkByName(dev)
			return err == nil && link.Attrs().OperState == netlink.OperUp, err
		}}) {
			return
		}
		for _, a := range addrs {
			if !yield(condition{"address " + a.String(), func() (bool, error) {
				routes, err := h.RouteGet(a.AsSlice())
				return err == nil && slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Type == unix.RTN_LOCAL }), nil
			}}) {
				return
			}
		}
	}
}
