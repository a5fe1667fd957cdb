package cluster

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Proto is an IP protocol number, as in the IP header (IANA): ICMP 1, TCP 6, UDP 17, SCTP 132.
type Proto uint8

// ICMP is an echo in either family, though ICMPv6 has a number of its own on the wire. No Service port has it.
const ICMP Proto = 1

// The protocols a Service port may have (core/v1 Protocol).
const (
	TCP  Proto = 6
	UDP  Proto = 17
	SCTP Proto = 132
)

// ParseProto reads a protocol as the API spells it; empty means TCP, the API's default. Case does not matter.
func ParseProto(s string) (Proto, error) {
	if s == "" || s == string(corev1.ProtocolTCP) { // nearly all
		return TCP, nil
	}
	switch strings.ToUpper(s) {
	case string(corev1.ProtocolTCP):
		return TCP, nil
	case string(corev1.ProtocolUDP):
		return UDP, nil
	case string(corev1.ProtocolSCTP):
		return SCTP, nil
	}
	return 0, fmt.Errorf("protocol %q is none of TCP, UDP, SCTP", s)
}

// String is the API's spelling, where it has one.
func (p Proto) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	case ICMP:
		return "ICMP"
	}
	return fmt.Sprintf("IP protocol %d", uint8(p))
}
