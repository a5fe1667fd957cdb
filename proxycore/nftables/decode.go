package nftables

import (
	"bytes"
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

const (
	messageHeader = unix.SizeofNlMsghdr       // struct nlmsghdr
	bodyHeader    = 4                         // struct nfgenmsg
	attrHeader    = unix.SizeofNlAttr         // struct nlattr
	nftables      = unix.NFNL_SUBSYS_NFTABLES // in the upper byte of a message type
)

// message is one netlink message as it was read; body includes the nfgenmsg header.
type message struct {
	typ, flags uint16
	seq        uint32
	body       []byte
}

// messages yields the messages of a datagram. It stops at the first that does not fit.
func messages(b []byte) iter.Seq[message] {
	return func(yield func(message) bool) {
		for len(b) >= messageHeader {
			n := int(binary.NativeEndian.Uint32(b))
			if n < messageHeader || n > len(b) {
				return
			}
			m := message{binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]), binary.NativeEndian.Uint32(b[8:]), b[messageHeader:n]}
			if !yield(m) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

// attrs yields type (without flags) and payload of each attribute. It stops at the first that does not fit.
func attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= attrHeader {
			n := int(binary.NativeEndian.Uint16(b))
			if n < attrHeader || n > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[attrHeader:n]) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

// attr is the payload of the first attribute of that type, found by a path of nested attributes; nil when there is none.
func attr(b []byte, path ...uint16) []byte {
	for _, want := range path {
		var inner []byte
		for typ, v := range attrs(b) {
			if typ == want {
				inner = v
				break
			}
		}
		if b = inner; b == nil {
			return nil
		}
	}
	return b
}

func text(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }

func number(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// comment finds the comment in a rule's user data: type 0, length, text with a final NUL
// (libnftnl include/libnftnl/udata.h, NFTNL_UDATA_RULE_COMMENT).
func comment(userdata []byte) string {
	for len(userdata) >= 2 {
		typ, n := userdata[0], int(userdata[1])
		if 2+n > len(userdata) {
			break
		}
		if typ == 0 {
			return text(userdata[2 : 2+n])
		}
		userdata = userdata[2+n:]
	}
	return ""
}
