package wire

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// Veth makes a wire between two namespaces, or within one, and brings both ends up. The far end is born in its namespace: it
// takes over that namespace's default settings, and moving it would cost more than making it.
func Veth(a, b End) error {
	return fullVeth{a: a, b: b}.make()
}

// fullVeth is a wire and what its ends are to have. Five turns of the kernel make it, however much that is.
type fullVeth struct {
	a, b   End
	master int // index of the bridge that a joins, or 0

	// What an end is to have when it carries packets; optional. The end's index is given.
	atA, atB func(q *batch, index int) error
}

// indexes are those of all wires of this process: given and not asked for. The kernel counts from 1 when it chooses itself, and
// passes over what is taken.
var indexes atomic.Int32

const firstIndex = 1 << 16

func (v fullVeth) make() error {
	bi := firstIndex + int(indexes.Add(2))
	ai := bi - 1
	if err := v.raise(ai, bi); err != nil {
		return fmt.Errorf("wire %s in namespace %s to %s in %s: %w", v.a.Name, v.a.NS.Name(), v.b.Name, v.b.NS.Name(), err)
	}
	return nil
}

func (v fullVeth) raise(ai, bi int) error {
	var q batch
	q.veth(v.a, ai, v.b, bi, v.master)
	if err := q.do(v.a.NS, nil); err != nil {
		return err
	}
	q.reset()
	q.up(bi) // not at its birth: a wire without another end cannot be up
	if err := q.settle(v.b.NS, bi); err != nil {
		return err
	}
	if err := q.furnish(v.b.NS, bi, v.atB); err != nil {
		return err
	}
	if err := q.settle(v.a.NS, ai); err != nil {
		return err
	}
	return q.furnish(v.a.NS, ai, v.atA)
}

func (q *batch) furnish(ns *nsnet.NS, index int, with func(q *batch, index int) error) error {
	if with == nil {
		return nil
	}
	if err := with(q, index); err != nil {
		return err
	}
	defer q.reset()
	return q.do(ns, nil)
}

// vethPeer is VETH_INFO_PEER of linux/veth.h: the attribute that describes the far end.
const vethPeer = 1

// veth makes the wire; a is up from its birth.
func (q *batch) veth(a End, ai int, b End, bi, master int) {
	q.message(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, about{})
	q.link(ai, unix.IFF_UP, unix.IFF_UP)
	q.ending(a)
	if master != 0 {
		q.u32(unix.IFLA_MASTER, uint32(master))
	}
	info := q.begin(unix.IFLA_LINKINFO)
	q.text(unix.IFLA_INFO_KIND, "veth")
	data := q.begin(unix.IFLA_INFO_DATA)
	peer := q.begin(vethPeer)
	q.link(bi, 0, 0)
	q.ending(b)
	q.u32(unix.IFLA_NET_NS_FD, uint32(b.NS.FD()))
	q.end(peer)
	q.end(data)
	q.end(info)
}

// ending is what an End says. One queue each way: the kernel would make one for every processor, with files for each, and a
// wire without a queueing discipline has no use for them.
func (q *batch) ending(e End) {
	q.text(unix.IFLA_IFNAME, e.Name)
	if len(e.MAC) > 0 {
		q.bytes(unix.IFLA_ADDRESS, e.MAC)
	}
	if e.MTU > 0 {
		q.u32(unix.IFLA_MTU, uint32(e.MTU))
	}
	q.u32(unix.IFLA_NUM_TX_QUEUES, 1)
	q.u32(unix.IFLA_NUM_RX_QUEUES, 1)
}

// errNoCarrier means that a wire stayed dead.
var errNoCarrier = errors.New("no carrier on a wire with both ends up")

// settle sends what is in the batch, empties it, and waits until the kernel has noticed the carrier. It does so in a work queue,
// and until then drops in silence what the device sends and what a bridge would forward: the first packet of a flow would be
// lost, and sent again after a second. Since Linux 6.8 the question alone is enough; before, it takes a moment.
func (q *batch) settle(ns *nsnet.NS, index int) error {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		up := false
		q.askLink(index)
		err := q.do(ns, func(_ int, kind uint16, content []byte) { up = isUp(kind, content) })
		q.reset()
		if err != nil || up {
			return err
		}
		if time.Now().After(end) {
			return errNoCarrier
		}
	}
}
