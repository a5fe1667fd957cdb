package wire

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// PodLinkOptions say which pod is at the end of the wire.
type PodLinkOptions struct {
	NodeDev string     // required: name of the node's end, at most 15 bytes
	PodDev  string     // optional: "eth0"
	V4, V6  netip.Addr // at least one
}

// What a pod takes for its gateway. No device has these addresses: the neighbour entry alone leads to the node.
var (
	nodeMAC   = net.HardwareAddr{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
	gatewayV4 = netip.MustParseAddr("169.254.1.1")
	gatewayV6 = netip.MustParseAddr("fe80::1")
)

// PodMAC is the hardware address of a pod's end: 0a:58 and the last four bytes of the pod's (first) address. It only has to be
// known on both ends of one wire.
func PodMAC(a netip.Addr) net.HardwareAddr {
	b := a.AsSlice()
	return append(net.HardwareAddr{0x0a, 0x58}, b[len(b)-4:]...)
}

// PodLink connects a pod to its node by a routed wire, without a bridge and without a question asked: the pod has its address
// alone and everything else behind a gateway, the node has a route to that one address, and each knows the other's hardware.
func PodLink(node, pod *nsnet.NS, o PodLinkOptions) error {
	if o.PodDev == "" {
		o.PodDev = "eth0"
	}
	if err := podLink(node, pod, o); err != nil {
		return fmt.Errorf("link pod %s to node %s: %w", pod.Name(), node.Name(), err)
	}
	return nil
}

func podLink(node, pod *nsnet.NS, o PodLinkOptions) error {
	first := o.V4
	if !first.IsValid() {
		first = o.V6
	}
	if !first.IsValid() || o.V4.IsValid() && !o.V4.Is4() || o.V6.IsValid() && !o.V6.Is6() {
		return errors.New("V4 or V6, or both, must be an address of that family")
	}
	legs := o.legs(PodMAC(first))
	return fullVeth{
		a: End{NS: node, Name: o.NodeDev, MAC: nodeMAC}, b: End{NS: pod, Name: o.PodDev, MAC: PodMAC(first)},
		atA: func(q *batch, index int) error {
			for _, l := range legs {
				q.neighbor(index, l.addr, l.mac)
				if err := q.route(index, RouteSpec{Dst: host(l.addr), Dev: o.NodeDev}); err != nil {
					return err
				}
			}
			return nil
		},
		atB: func(q *batch, index int) error {
			for _, l := range legs {
				q.addr(index, host(l.addr), unix.NLM_F_EXCL)
				q.neighbor(index, l.gateway, nodeMAC)
				if err := q.route(index, RouteSpec{Via: l.gateway, Dev: o.PodDev}); err != nil {
					return err
				}
			}
			return nil
		},
	}.make()
}

// leg is one family's half of a pod's wire.
type leg struct {
	addr, gateway netip.Addr
	mac           net.HardwareAddr
}

func (o PodLinkOptions) legs(mac net.HardwareAddr) (legs []leg) {
	for _, l := range []leg{{o.V4, gatewayV4, mac}, {o.V6, gatewayV6, mac}} {
		if l.addr.IsValid() {
			legs = append(legs, l)
		}
	}
	return legs
}
