package sctp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Type is the type of a chunk.
type Type uint8

// The chunks that this package knows (RFC 9260, section 3.2).
const (
	Init    Type = 1
	InitAck Type = 2
	Abort   Type = 6
)

// String is the RFC's name.
func (t Type) String() string {
	switch t {
	case Init:
		return "INIT"
	case InitAck:
		return "INIT ACK"
	case Abort:
		return "ABORT"
	}
	return fmt.Sprintf("chunk type %d", uint8(t))
}

// Packet is a packet of one chunk.
type Packet struct {
	Source, Destination uint16
	// Tag is the verification tag: 0 with an INIT, else the Initiate of the packet that this one answers.
	Tag   uint32
	Chunk Type
	// Initiate is the tag that the other side shall use: INIT and INIT ACK, never 0.
	Initiate uint32
	// Text is what the sender has to say. An INIT carries it in a parameter of a type that nobody has, whose high bits tell
	// others to pass over it in silence; an INIT ACK in its state cookie, which is the server's own affair; an ABORT as the
	// reason of its upper layer.
	Text string
}

// The parameters and the cause that carry texts (RFC 9260, sections 3.2.1, 3.3.3 and 3.3.10.12). 0xbf57 is not assigned.
const (
	paramText   = 0xbf57
	paramCookie = 7
	causeUser   = 12
)

const (
	commonHeader = 12
	chunkHeader  = 4
	initBody     = 16 // tag, window, streams out and in, first TSN
	tlvHeader    = 4
	window       = 65536
	streams      = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC32c of a packet of at least 12 bytes, whose own checksum is taken to be zero (RFC 9260, appendix A).
func Checksum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:8])
	sum = crc32.Update(sum, castagnoli, make([]byte, 4))
	return crc32.Update(sum, castagnoli, b[commonHeader:])
}

// Bytes is the packet with its checksum.
func (p Packet) Bytes() []byte {
	b := make([]byte, commonHeader, 128)
	binary.BigEndian.PutUint16(b, p.Source)
	binary.BigEndian.PutUint16(b[2:], p.Destination)
	binary.BigEndian.PutUint32(b[4:], p.Tag)
	b = append(b, byte(p.Chunk), 0, 0, 0)
	param := causeUser
	switch p.Chunk {
	case Init:
		param = paramText
	case InitAck:
		param = paramCookie
	}
	if p.Chunk == Init || p.Chunk == InitAck {
		b = binary.BigEndian.AppendUint32(b, p.Initiate)
		b = binary.BigEndian.AppendUint32(b, window)
		b = binary.BigEndian.AppendUint16(b, streams)
		b = binary.BigEndian.AppendUint16(b, streams)
		b = binary.BigEndian.AppendUint32(b, p.Initiate) // the first TSN may be any
	}
	if p.Text != "" {
		b = binary.BigEndian.AppendUint16(b, uint16(param))
		b = binary.BigEndian.AppendUint16(b, uint16(tlvHeader+len(p.Text)))
		b = append(b, p.Text...)
	}
	binary.BigEndian.PutUint16(b[commonHeader+2:], uint16(len(b)-commonHeader))
	for len(b)%4 != 0 {
		b = append(b, 0) // which no length counts
	}
	binary.LittleEndian.PutUint32(b[8:], Checksum(b)) // the CRC's own order of bits
	return b
}

// What is wrong with a packet.
var (
	ErrShort    = errors.New("too short")
	ErrChecksum = errors.New("wrong checksum")
	ErrChunk    = errors.New("no single INIT, INIT ACK or ABORT")
)

// Parse reads a packet, from its SCTP header on.
func Parse(b []byte) (p Packet, err error) {
	if len(b) < commonHeader+chunkHeader {
		return p, ErrShort
	}
	if binary.LittleEndian.Uint32(b[8:]) != Checksum(b) {
		return p, ErrChecksum
	}
	p.Source, p.Destination, _ = Ports(b)
	p.Tag = binary.BigEndian.Uint32(b[4:])
	chunk := b[commonHeader:]
	p.Chunk = Type(chunk[0])
	length := int(binary.BigEndian.Uint16(chunk[2:]))
	if length < chunkHeader || length > len(chunk) {
		return p, ErrShort
	}
	body := chunk[chunkHeader:length]
	param := causeUser
	switch p.Chunk {
	case Abort:
	case Init, InitAck:
		if (len(chunk)+3)&^3 != (length+3)&^3 {
			return p, ErrChunk // they come alone (section 3)
		}
		if len(body) < initBody {
			return p, ErrShort
		}
		p.Initiate = binary.BigEndian.Uint32(body)
		body = body[initBody:]
		param = paramText
		if p.Chunk == InitAck {
			param = paramCookie
		}
	default:
		return p, ErrChunk
	}
	p.Text = find(body, uint16(param))
	return p, nil
}

// Ports reads the ports of a packet of which perhaps no more than that is left, as in an ICMP error.
func Ports(b []byte) (source, destination uint16, ok bool) {
	if len(b) < 4 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), true
}

// find returns the value of the first parameter, or cause, of that type.
func find(b []byte, kind uint16) string {
	for len(b) >= tlvHeader {
		length := int(binary.BigEndian.Uint16(b[2:]))
		if length < tlvHeader || length > len(b) {
			return ""
		}
		if binary.BigEndian.Uint16(b) == kind {
			return string(b[tlvHeader:length])
		}
		b = b[min((length+3)&^3, len(b)):]
	}
	return ""
}
