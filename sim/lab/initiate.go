package lab

import (
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"svclab/nsnet/sctp"
)

// SCTP is spoken over raw sockets, since many kernels have no others: a client sends an INIT and takes the INIT ACK that
// carries its word. It says no more, so that the kernel's connection tracking forgets the association within seconds.
//
// A raw socket hears everything between its two addresses. A filter leaves it what is between its two ports, and ICMP errors,
// which no filter stops, are told apart by the ports of the packet that they quote.

// sctpFilter is a program (BPF, as in tcpdump -d) for the packets of one association.
func sctpFilter(is6 bool, source, destination uint16) []unix.SockFilter {
	const (
		loadHeader = unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH // X = 4·(P[0] & 15): an IPv4 socket is given the IP header too
		loadNumber = unix.BPF_LDX | unix.BPF_W | unix.BPF_IMM
		loadPort   = unix.BPF_LD | unix.BPF_H | unix.BPF_IND
		equal      = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		end        = unix.BPF_RET | unix.BPF_K
	)
	start := unix.SockFilter{Code: loadHeader}
	if is6 {
		start = unix.SockFilter{Code: loadNumber}
	}
	return []unix.SockFilter{
		start,
		{Code: loadPort, K: 0}, {Code: equal, K: uint32(source), Jf: 3},
		{Code: loadPort, K: 2}, {Code: equal, K: uint32(destination), Jf: 1},
		{Code: end, K: 1 << 16},
		{Code: end},
	}
}

func onlyAssociation(fd int, local, peer netip.AddrPort) error {
	program := sctpFilter(peer.Addr().Is6(), peer.Port(), local.Port())
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}

// initiate is an INIT. Its tag follows from the word, which is never used twice.
func (s *socket) initiate(word string) []byte {
	return sctp.Packet{Source: s.local.Port(), Destination: s.peer.Port(), Chunk: sctp.Init, Initiate: tagOf(word), Text: word}.Bytes()
}

func tagOf(word string) uint32 {
	n, _ := strconv.ParseUint(word, 36, 64) // a word is a number
	return uint32(n) | 1<<31                // and a tag is never 0
}

// hearInitAck takes an INIT ACK or an ABORT that is for this INIT and carries its word. Where a kernel has SCTP of its own, its
// ABORT for a packet that it knows nothing of comes as well, without a word, and is passed over.
func (s *socket) hearInitAck(word string) (reply, error) {
	var buf [2048]byte
	for {
		n, _, err := s.receive(buf[:])
		if err != nil {
			return reply{}, err
		}
		p, err := sctp.Parse(sctpPart(buf[:n], s.peer.Addr().Is6()))
		if err != nil || p.Source != s.peer.Port() || p.Destination != s.local.Port() || p.Tag != tagOf(word) {
			continue // not ours, or damaged on its way
		}
		switch {
		case p.Chunk == sctp.Abort && p.Text == word:
			return reply{}, unix.ECONNRESET
		case p.Chunk == sctp.InitAck:
			if r, err := s.replied(p.Text, word); err == nil {
				return r, nil
			}
		}
	}
}

// sctpPart is what a raw socket was given from the SCTP header on.
func sctpPart(b []byte, is6 bool) []byte {
	if is6 || len(b) == 0 {
		return b
	}
	return b[min(int(b[0]&15)*4, len(b)):]
}

// quotes reports whether the packet that an ICMP error quotes, from its SCTP header on, was this socket's.
func (s *socket) quotes(packet []byte) bool {
	source, destination, ok := sctp.Ports(packet)
	return ok && source == s.local.Port() && destination == s.peer.Port()
}
