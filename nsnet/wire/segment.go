package wire

import (
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// Segment is an underlay: a namespace of its own with nothing in it but a bridge.
type Segment struct {
	ns     *nsnet.NS
	bridge int // index
	mtu    int

	mu    sync.Mutex
	ports int
}

// usualMTU is Ethernet's.
const usualMTU = 1500

// NewSegment makes a segment without ports, all of whose devices will have that MTU; 0 is 1500. The name is for messages.
func NewSegment(name string, mtu int) (*Segment, error) {
	if mtu == 0 {
		mtu = usualMTU
	}
	ns, err := nsnet.New(name)
	if err != nil {
		return nil, fmt.Errorf("make segment: %w", err)
	}
	s := &Segment{ns: ns, mtu: mtu}
	if err := ns.Sysctls(segmentSettings...); err != nil {
		ns.Close()
		return nil, fmt.Errorf("make segment: %w", err)
	}
	if s.bridge, err = bridge(ns, "br0"); err != nil {
		ns.Close()
		return nil, fmt.Errorf("make segment: %w", err)
	}
	return s, nil
}

// NS is the namespace with the bridge, for captures and faults.
func (s *Segment) NS() *nsnet.NS { return s.ns }

// Attach wires a namespace to the segment by a device of the given name. Addresses are the caller's, but for a link-local one:
// without it a router cannot ask for the hardware of an IPv6 next hop on behalf of others.
func (s *Segment) Attach(ns *nsnet.NS, dev string) error {
	_, err := s.AttachPort(ns, dev)
	return err
}

// AttachPort is Attach and returns the name of the port on the bridge: port1, port2, … in order.
func (s *Segment) AttachPort(ns *nsnet.NS, dev string) (port string, err error) {
	s.mu.Lock()
	s.ports++
	n := s.ports
	s.mu.Unlock()
	port = fmt.Sprintf("port%d", n)
	mac := net.HardwareAddr{0x0a, 0x59, 0, 0, byte(n >> 8), byte(n)}
	return port, fullVeth{
		a: End{NS: s.ns, Name: port, MTU: s.mtu}, b: End{NS: ns, Name: dev, MAC: mac, MTU: s.mtu}, master: s.bridge,
		atB: func(q *batch, index int) error {
			// Replace, since the kernel has given the very same one where HostSysctls was not called.
			q.addr(index, netip.PrefixFrom(linkLocal(mac), 64), unix.NLM_F_REPLACE)
			return nil
		},
	}.make()
}

// linkLocal is the address that the kernel itself would derive (RFC 4291, appendix A).
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80,
		8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

// Close removes the bridge, and with it the devices of all that were attached. It may be called twice.
func (s *Segment) Close() error { return s.ns.Close() }
