package conntrack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"svclab/proxycore/cluster"
)

// linux/netfilter/nfnetlink_conntrack.h: enum cntl_msg_types, ctattr_type, ctattr_tuple, ctattr_ip, ctattr_l4proto.
const (
	getEntry    = 1
	deleteEntry = 2

	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaStatus     = 3
	ctaTimeout    = 7
	ctaID         = 12
	ctaZone       = 18
	ctaFilter     = 25

	ctaTupleIP    = 1
	ctaTupleProto = 2

	ctaIPv4Src = 1
	ctaIPv4Dst = 2
	ctaIPv6Src = 3
	ctaIPv6Dst = 4

	ctaProtoNum     = 1
	ctaProtoSrcPort = 2
	ctaProtoDstPort = 3

	ctaFilterOrigFlags = 1

	// net/netfilter/nf_internals.h: CTA_FILTER_F_CTA_IP_DST, …_PROTO_NUM, …_PROTO_DST_PORT.
	filterIPDst, filterProto, filterDstPort = 1 << 1, 1 << 3, 1 << 5
)

// Bits of Entry.Status (linux/netfilter/nf_conntrack_common.h, enum ip_conntrack_status).
const (
	SeenReply = 1 << 1
	Assured   = 1 << 2
	SourceNAT = 1 << 4
	DestNAT   = 1 << 5
)

// Entry is one tracked connection. Ports are 0 for protocols that have none.
type Entry struct {
	Proto              uint8
	OrigSrc, OrigDst   netip.AddrPort // as the client sent it
	ReplySrc, ReplyDst netip.AddrPort // who answers, and to whom
	ID, Status         uint32
	Timeout            time.Duration // until it expires, unless a packet renews it

	tuple, id, zone []byte // as the kernel wrote them, to name the entry
}

// String is "UDP 10.244.1.2:4000 → 10.96.0.1:53, answered by 10.244.2.3:53 to 10.244.1.2:4000".
func (e Entry) String() string {
	return fmt.Sprintf("%v %v → %v, answered by %v to %v", cluster.Proto(e.Proto), e.OrigSrc, e.OrigDst, e.ReplySrc, e.ReplyDst)
}

// parse reads a message body. The bytes are copied: they outlive the message.
func parse(body []byte) (e Entry, ok bool) {
	if len(body) < 4 {
		return e, false
	}
	for typ, v := range attributes(body[4:]) {
		switch typ {
		case ctaTupleOrig:
			e.tuple = append([]byte(nil), v...)
			e.Proto, e.OrigSrc, e.OrigDst = tuple(v)
		case ctaTupleReply:
			_, e.ReplySrc, e.ReplyDst = tuple(v)
		case ctaStatus:
			e.Status = number(v)
		case ctaTimeout:
			e.Timeout = time.Duration(number(v)) * time.Second
		case ctaID:
			e.ID, e.id = number(v), append([]byte(nil), v...)
		case ctaZone:
			e.zone = append([]byte(nil), v...)
		}
	}
	return e, e.OrigSrc.Addr().IsValid() && e.ReplySrc.Addr().IsValid()
}

// onlyTo asks a dump for the UDP entries to one address and port; in IPv6 to the port at any address, since the kernel takes
// equal IPv6 addresses for different ones here (seen on 6.18). Kernels before 5.8 ignore it and send everything.
func onlyTo(front netip.AddrPort) ([]byte, error) {
	flags := uint32(filterProto | filterDstPort)
	e := netlink.NewAttributeEncoder()
	e.Nested(ctaTupleOrig, func(e *netlink.AttributeEncoder) error {
		if front.Addr().Is4() {
			flags |= filterIPDst
			e.Nested(ctaTupleIP, func(e *netlink.AttributeEncoder) error {
				e.Bytes(ctaIPv4Dst, front.Addr().AsSlice())
				return nil
			})
		}
		e.Nested(ctaTupleProto, func(e *netlink.AttributeEncoder) error {
			e.Uint8(ctaProtoNum, unix.IPPROTO_UDP)
			e.Bytes(ctaProtoDstPort, binary.BigEndian.AppendUint16(nil, front.Port()))
			return nil
		})
		return nil
	})
	e.Nested(ctaFilter, func(e *netlink.AttributeEncoder) error {
		e.Uint32(ctaFilterOrigFlags, flags)
		return nil
	})
	return e.Encode()
}

func tuple(b []byte) (proto uint8, src, dst netip.AddrPort) {
	var from, to netip.Addr
	var sport, dport uint16
	for part, v := range attributes(b) {
		for typ, v := range attributes(v) {
			switch {
			case part == ctaTupleIP && (typ == ctaIPv4Src || typ == ctaIPv6Src):
				from, _ = netip.AddrFromSlice(v)
			case part == ctaTupleIP && (typ == ctaIPv4Dst || typ == ctaIPv6Dst):
				to, _ = netip.AddrFromSlice(v)
			case part == ctaTupleProto && typ == ctaProtoNum && len(v) == 1:
				proto = v[0]
			case part == ctaTupleProto && typ == ctaProtoSrcPort && len(v) == 2:
				sport = binary.BigEndian.Uint16(v)
			case part == ctaTupleProto && typ == ctaProtoDstPort && len(v) == 2:
				dport = binary.BigEndian.Uint16(v)
			}
		}
	}
	return proto, netip.AddrPortFrom(from, sport), netip.AddrPortFrom(to, dport)
}

// attributes yields types without flags and values; it ends at the first that cannot be read.
func attributes(b []byte) func(yield func(uint16, []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		d, err := netlink.NewAttributeDecoder(b)
		if err != nil {
			return
		}
		for d.Next() {
			if !yield(d.Type(), d.Bytes()) {
				return
			}
		}
	}
}

func number(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}
