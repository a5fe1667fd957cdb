package nftrace

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// linux/netfilter/nf_tables.h, enum nft_trace_attributes; those of conntrack since Linux 6.16.
const (
	attrTable     = 1
	attrChain     = 2
	attrHandle    = 3
	attrType      = 4
	attrVerdict   = 5
	attrID        = 6
	attrNetwork   = 8
	attrTransport = 9
	attrIn        = 10
	attrOut       = 12
	attrMark      = 14
	attrProto     = 15
	attrPolicy    = 16
	attrTrackID   = 18
	attrTrackDir  = 19
	attrTrackStat = 20
	attrTrackNow  = 21
)

// Kind says what an Event is about.
type Kind uint8

// Policy is the end of a base chain, Return that of a chain that another jumped to, Rule a rule that the packet met and that
// said something.
const (
	Policy Kind = 1
	Return Kind = 2
	Rule   Kind = 3
)

var kindWords = [...]string{"unknown", "policy", "return", "rule"}

// String is "rule", "return" or "policy".
func (k Kind) String() string {
	if int(k) < len(kindWords) {
		return kindWords[k]
	}
	return kindWords[0]
}

// Event is one step of one packet. A base chain's first event has the packet's headers and devices, later ones do not.
type Event struct {
	Family  string // "ip", "ip6" or "inet": with it, table, chain and handle name a rule; without, two tables may have the same
	Table   string
	Chain   string
	Handle  uint64 // Rule; 0 otherwise
	Kind    Kind
	Verdict string // "accept", "drop", "continue", "jump X", "goto X", "return"
	ID      uint32 // the same for the steps of one packet through a namespace, and used again for later packets
	Mark    uint32

	Network, Transport []byte // the headers as they are at this step; nil but in the first event of a base chain
	In, Out            uint32 // indexes of devices, 0: none

	Track *Track // nil where the packet has no entry yet, or the kernel does not tell (before Linux 6.16)
}

// Track is what connection tracking knows of the packet at this step.
type Track struct {
	ID        uint32 // of the entry, as ctnetlink lists it
	Reply     bool
	Status    uint32 // bits as in ctnetlink (CTA_STATUS)
	New       bool   // the connection is
	Related   bool   // an ICMP error about the connection
	Confirmed bool   // established
}

var verdictWords = map[int32]string{-1: "continue", -2: "break", -3: "jump", -4: "goto", -5: "return", 0: "drop", 1: "accept", 2: "stolen", 3: "queue", 4: "repeat"}

func verdict(code int32, chain string) string {
	word, ok := verdictWords[code]
	if !ok {
		word = fmt.Sprint("verdict ", code)
	}
	if chain != "" {
		word += " " + chain
	}
	return word
}

// FamilyName is nft's word for the family of a table.
func FamilyName(n uint8) string {
	switch n {
	case unix.NFPROTO_IPV4:
		return "ip"
	case unix.NFPROTO_IPV6:
		return "ip6"
	case unix.NFPROTO_INET:
		return "inet"
	}
	return fmt.Sprint("family-", n)
}

// parse reads a message body. Its bytes are copied.
func parse(body []byte) (e Event, err error) {
	if len(body) < 4 {
		return e, fmt.Errorf("a trace message of %d bytes", len(body))
	}
	e.Family = FamilyName(body[0])
	d, err := netlink.NewAttributeDecoder(body[4:])
	if err != nil {
		return e, err
	}
	d.ByteOrder = binary.BigEndian
	var track Track
	tracked := false
	for d.Next() {
		switch d.Type() {
		case attrTable:
			e.Table = d.String()
		case attrChain:
			e.Chain = d.String()
		case attrHandle:
			e.Handle = d.Uint64()
		case attrType:
			e.Kind = Kind(d.Uint32())
		case attrVerdict:
			code, chain := int32(0), ""
			d.Nested(func(v *netlink.AttributeDecoder) error {
				for v.Next() {
					switch v.Type() {
					case unix.NFTA_VERDICT_CODE:
						code = int32(v.Uint32())
					case unix.NFTA_VERDICT_CHAIN:
						chain = v.String()
					}
				}
				return nil
			})
			e.Verdict = verdict(code, chain)
		case attrID:
			e.ID = d.Uint32()
		case attrNetwork:
			e.Network = append([]byte(nil), d.Bytes()...)
		case attrTransport:
			e.Transport = append([]byte(nil), d.Bytes()...)
		case attrIn:
			e.In = d.Uint32()
		case attrOut:
			e.Out = d.Uint32()
		case attrMark:
			e.Mark = d.Uint32()
		case attrPolicy:
			e.Verdict = verdict(int32(d.Uint32()), "")
		case attrTrackID:
			track.ID, tracked = d.Uint32(), true
		case attrTrackDir:
			track.Reply = d.Uint8() == 1
		case attrTrackStat:
			track.Status = d.Uint32()
		case attrTrackNow:
			const established, related, fresh = 1 << 1, 1 << 2, 1 << 3 // NF_CT_STATE_BIT of enum ip_conntrack_info
			s := d.Uint32()
			track.Confirmed, track.Related, track.New = s&established != 0, s&related != 0, s&fresh != 0
		}
	}
	if tracked {
		e.Track = &track
	}
	return e, d.Err()
}
