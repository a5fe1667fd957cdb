package cluster

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Proto is an IP protocol number, as in the IP header (IANA): TCP 6, UDP 17, SCTP 132.
type Proto uint8

// The protocols a Service port may have (core/v1 Protocol).
const (
	TCP  Proto = 6
	UDP  Proto = 17
	SCTP Proto = 132
)

// ParseProto reads a protocol as the API spells it; empty means TCP, the API's default. Case does not matter.
func ParseProto(s string) (Proto, error) {
	switch strings.ToUpper(s) {
	case "", string(corev1.ProtocolTCP):
		return TCP, nil
	case string(corev1.ProtocolUDP):
		return UDP, nil
	case string(corev1.ProtocolSCTP):
		return SCTP, nil
	}
	return 0, fmt.Errorf("protocol %q is none of TCP, UDP, SCTP", s)
}

// String is the API's spelling.
func (p Proto) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	}
	return fmt.Sprintf("IP protocol %d", uint8(p))
}
