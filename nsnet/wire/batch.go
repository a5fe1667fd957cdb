package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// batch is route netlink messages that go to the kernel in one piece. Written by hand, since asking for one thing after the
// other is most of what making a pod costs: a system call each for the question, the answer and the thread's next turn.
type batch struct {
	b      []byte
	starts []int
	about  []about
}

// about says what a message is for, should it fail.
type about struct {
	what    string // "add address"
	subject fmt.Stringer
}

// message begins a message; what is written up to the next belongs to it.
func (q *batch) message(kind, flags uint16, a about) {
	q.starts = append(q.starts, len(q.b))
	q.about = append(q.about, a)
	q.b = binary.NativeEndian.AppendUint32(q.b, 0) // length, sequence number, sender: filled in later
	q.b = binary.NativeEndian.AppendUint16(q.b, kind)
	q.b = binary.NativeEndian.AppendUint16(q.b, flags|unix.NLM_F_REQUEST)
	q.b = append(q.b, 0, 0, 0, 0, 0, 0, 0, 0)
}

func (q *batch) raw(b ...byte) { q.b = append(q.b, b...) }

func (q *batch) u32raw(v uint32) { q.b = binary.NativeEndian.AppendUint32(q.b, v) }

// begin begins an attribute; end, with what begin returned, ends it.
func (q *batch) begin(attr uint16) int {
	at := len(q.b)
	q.b = binary.NativeEndian.AppendUint16(q.b, 0)
	q.b = binary.NativeEndian.AppendUint16(q.b, attr)
	return at
}

func (q *batch) end(at int) {
	binary.NativeEndian.PutUint16(q.b[at:], uint16(len(q.b)-at))
	for len(q.b)%unix.NLMSG_ALIGNTO != 0 {
		q.b = append(q.b, 0)
	}
}

func (q *batch) bytes(attr uint16, b []byte) {
	at := q.begin(attr)
	q.b = append(q.b, b...)
	q.end(at)
}

// text ends with a zero byte, as the kernel has it.
func (q *batch) text(attr uint16, s string) {
	at := q.begin(attr)
	q.b = append(append(q.b, s...), 0)
	q.end(at)
}

func (q *batch) u32(attr uint16, v uint32) {
	at := q.begin(attr)
	q.u32raw(v)
	q.end(at)
}

// ip is an address without its family.
func (q *batch) ip(attr uint16, a netip.Addr) {
	at := q.begin(attr)
	if a.Is4() {
		b := a.As4()
		q.b = append(q.b, b[:]...)
	} else {
		b := a.As16()
		q.b = append(q.b, b[:]...)
	}
	q.end(at)
}

// link is the head of a message about a device (struct ifinfomsg).
func (q *batch) link(index int, flags, change uint32) {
	q.raw(unix.AF_UNSPEC, 0, 0, 0)
	q.u32raw(uint32(index))
	q.u32raw(flags)
	q.u32raw(change)
}

// up brings a device up.
func (q *batch) up(index int) {
	q.message(unix.RTM_NEWLINK, 0, about{what: "bring up"})
	q.link(index, unix.IFF_UP, unix.IFF_UP)
}

// addr gives a device an address, without asking others whether it is theirs. mode says what if it has it already:
// unix.NLM_F_EXCL or unix.NLM_F_REPLACE.
func (q *batch) addr(index int, p netip.Prefix, mode uint16) {
	q.message(unix.RTM_NEWADDR, unix.NLM_F_CREATE|mode, about{"add address", p.Addr()})
	q.raw(byte(family(p.Addr())), byte(p.Bits()), 0, unix.RT_SCOPE_UNIVERSE)
	q.u32raw(uint32(index))
	q.ip(unix.IFA_LOCAL, p.Addr())
	q.ip(unix.IFA_ADDRESS, p.Addr())
	if p.Addr().Is6() {
		q.u32(unix.IFA_FLAGS, unix.IFA_F_NODAD)
	}
}

func (q *batch) neighbor(index int, a netip.Addr, mac net.HardwareAddr) {
	q.message(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, about{"set neighbour", a})
	q.raw(byte(family(a)), 0, 0, 0)
	q.u32raw(uint32(index))
	q.b = binary.NativeEndian.AppendUint16(q.b, unix.NUD_PERMANENT)
	q.raw(0, 0) // flags, type
	q.ip(unix.NDA_DST, a)
	q.bytes(unix.NDA_LLADDR, mac)
}

// route sets a route; its Dev is not looked at.
func (q *batch) route(index int, r RouteSpec) error {
	dst, err := r.destination()
	if err != nil {
		return err
	}
	q.message(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, about{"set route", r})
	table, scope, flags := r.Table, byte(unix.RT_SCOPE_LINK), uint32(0)
	if table == 0 {
		table = unix.RT_TABLE_MAIN
	}
	if r.Via.IsValid() {
		scope, flags = unix.RT_SCOPE_UNIVERSE, unix.RTNH_F_ONLINK
	}
	small := byte(unix.RT_TABLE_UNSPEC) // of one byte; the attribute holds any
	if table < 256 {
		small = byte(table)
	}
	q.raw(byte(family(dst.Addr())), byte(dst.Bits()), 0, 0, small, unix.RTPROT_BOOT, scope, unix.RTN_UNICAST)
	q.u32raw(flags)
	if dst.Bits() > 0 {
		q.ip(unix.RTA_DST, dst.Addr())
	}
	if r.Via.IsValid() {
		q.ip(unix.RTA_GATEWAY, r.Via)
	}
	if r.Source.IsValid() {
		q.ip(unix.RTA_PREFSRC, r.Source)
	}
	q.u32(unix.RTA_TABLE, uint32(table))
	q.u32(unix.RTA_OIF, uint32(index))
	return nil
}

// skipStats is RTEXT_FILTER_SKIP_STATS of linux/rtnetlink.h.
const skipStats = 1 << 3

// askLink asks for a device, by its index. Since Linux 6.8 the question makes the kernel notice the carrier: see settle.
func (q *batch) askLink(index int) {
	q.message(unix.RTM_GETLINK, 0, about{what: "find device"})
	q.link(index, 0, 0)
	q.u32(unix.IFLA_EXT_MASK, skipStats)
}

func (q *batch) askLinkNamed(name string) {
	q.message(unix.RTM_GETLINK, 0, about{})
	q.link(0, 0, 0)
	q.text(unix.IFLA_IFNAME, name)
	q.u32(unix.IFLA_EXT_MASK, skipStats)
}

// askWay asks where packets to an address go.
func (q *batch) askWay(a netip.Addr) {
	q.message(unix.RTM_GETROUTE, 0, about{"find the way to", a})
	q.raw(byte(family(a)), byte(a.BitLen()), 0, 0, 0, 0, 0, 0)
	q.u32raw(0)
	q.ip(unix.RTA_DST, a)
}

// do gives the messages to the kernel and hears its answers.
func (q *batch) do(ns *nsnet.NS, answer func(index int, kind uint16, content []byte)) error {
	if len(q.starts) == 0 {
		return nil
	}
	for i, start := range q.starts {
		end := len(q.b)
		if i+1 < len(q.starts) {
			end = q.starts[i+1]
		}
		binary.NativeEndian.PutUint32(q.b[start:], uint32(end-start))
	}
	err := ns.Exchange(q.b, answer)
	var failed *nsnet.RequestError
	if !errors.As(err, &failed) {
		return err
	}
	a := q.about[failed.Index]
	switch {
	case a.what == "":
		return failed.Err
	case a.subject == nil:
		return fmt.Errorf("%s in namespace %s: %w", a.what, ns.Name(), failed.Err)
	}
	return fmt.Errorf("%s %s in namespace %s: %w", a.what, a.subject, ns.Name(), failed.Err)
}

// reset makes the batch empty.
func (q *batch) reset() { q.b, q.starts, q.about = q.b[:0], q.starts[:0], q.about[:0] }

// attribute finds an attribute in the content of a message, behind a head of that size.
func attribute(content []byte, head int, attr uint16) ([]byte, bool) {
	for b := content[min(head, len(content)):]; len(b) >= 4; {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return nil, false
		}
		if binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER) == attr {
			return b[4:size], true
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return nil, false
}

// isUp reads the answer to askLink.
func isUp(kind uint16, content []byte) bool {
	state, ok := attribute(content, unix.SizeofIfInfomsg, unix.IFLA_OPERSTATE)
	return kind == unix.RTM_NEWLINK && ok && slices.Equal(state, []byte{operUp})
}

// operUp is IF_OPER_UP of linux/if.h.
const operUp = 6

// isLocal reads the answer to askWay: the namespace takes the packets for its own.
func isLocal(kind uint16, content []byte) bool {
	const typeAt = 7 // of struct rtmsg
	return kind == unix.RTM_NEWROUTE && len(content) > typeAt && content[typeAt] == unix.RTN_LOCAL
}
