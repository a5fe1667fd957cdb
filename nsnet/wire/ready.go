package wire

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"svclab/nsnet"
)

// Ready returns when the device carries packets and the namespace takes those to the addresses for its own. The kernel does
// either in a work queue, after the call that asked for it has returned (net/core/link_watch.c; net/ipv6/addrconf.c,
// addrconf_dad_work), and until then packets are dropped without a word: on a busy machine for some hundred milliseconds.
// TCP hides that behind a retransmission, a lone datagram is lost.
func Ready(ctx context.Context, ns *nsnet.NS, dev string, addrs ...netip.Addr) error {
	for began := time.Now(); ; {
		waits, err := pending(ns, dev, addrs)
		if err != nil {
			return fmt.Errorf("wait for device %s in namespace %s: %w", dev, ns.Name(), err)
		}
		if waits == "" {
			return nil
		}
		if time.Since(began) > patience {
			return fmt.Errorf("wait for %s in namespace %s: not there after %s", waits, ns.Name(), patience)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// patience is far longer than the kernel takes.
const patience = 30 * time.Second

// pending names the first thing that is not ready, or nothing. It asks for all of them at once.
func pending(ns *nsnet.NS, dev string, addrs []netip.Addr) (what string, err error) {
	var q batch
	q.askLinkNamed(dev)
	for _, a := range addrs {
		q.askWay(a)
	}
	done, found := make([]bool, 1+len(addrs)), false
	err = q.do(ns, func(i int, kind uint16, content []byte) {
		found = found || i == 0
		done[i] = i == 0 && isUp(kind, content) || i > 0 && isLocal(kind, content)
	})
	if err != nil && !found {
		return "", err // else it is that there is no way to an address, which is then not there
	}
	switch i := slices.Index(done, false); {
	case i < 0:
		return "", nil
	case i == 0:
		return "device " + dev, nil
	default:
		return "address " + addrs[i-1].String(), nil
	}
}
