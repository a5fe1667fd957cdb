package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// Echoes go through the kernel's ping sockets, which number themselves by the identifier that they are bound to and hear only
// what belongs to it, errors included.

// Types of messages (RFC 792, RFC 4443), and the length of their header.
const (
	echoRequest, echoReply   = 8, 0
	echoRequest6, echoReply6 = 128, 129
	echoHeader               = 8
)

// mayPing lets this process have ping sockets in a namespace: a new one permits them to nobody.
func mayPing(ns *nsnet.NS) error {
	group := unix.Getegid()
	return ns.Sysctl("net.ipv4.ping_group_range", fmt.Sprintf("%d %d", group, group)) // IPv6 asks the same
}

// echo is a request; the kernel fills in identifier and checksum.
func (s *socket) echo(word string) []byte {
	b := make([]byte, echoHeader, echoHeader+len(word))
	b[0] = echoRequest
	if s.peer.Addr().Is6() {
		b[0] = echoRequest6
	}
	binary.BigEndian.PutUint16(b[6:], 1) // the sequence number
	return append(b, word...)
}

func (s *socket) hearEcho(word string) (reply, error) {
	kind := byte(echoReply)
	if s.peer.Addr().Is6() {
		kind = echoReply6
	}
	var buf [512]byte
	for {
		n, from, err := s.receive(buf[:])
		if err != nil {
			return reply{}, err
		}
		if n < echoHeader || buf[0] != kind || string(buf[echoHeader:n]) != word {
			continue // an answer to an earlier request of this session
		}
		who := netip.AddrPortFrom(from.Addr(), 0)
		return reply{server: who, source: netip.AddrPortFrom(s.local.Addr(), 0), peer: who}, nil
	}
}
