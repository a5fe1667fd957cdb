package sctp

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors of RFC 3720, appendix B.4: the same CRC32c, in the same order of bytes as on an SCTP wire. Checksum leaves out
// the four bytes where a packet has its own, so the vectors that are zero there, or whose bytes there are put back, are asked.
func TestChecksumVectors(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"32 bytes of zeroes", strings.Repeat("00", 32), "aa36918a"},
		// An INIT as usrsctp sends it, with its extensions; its bytes 8 to 11 are the checksum.
		{"an INIT of usrsctp", usrsctpInit, "81469dfc"},
		// An INIT of ours, whose checksum another implementation computed, bit by bit.
		{"an INIT of ours", ourInit, "48642ffc"},
	} {
		var got [4]byte
		binary.LittleEndian.PutUint32(got[:], Checksum(unhex(t, tt.data)))
		if hex.EncodeToString(got[:]) != tt.want {
			t.Errorf("%s: %x, want %s", tt.name, got, tt.want)
		}
	}
}

const (
	usrsctpInit = `1388 1388 00000000 81469dfc 01000056 55b964a5 00020000 0400 0800 e86d1030
		c0000004 80080009c00fc18082000000 80020024 9febbb5c50c9bf759cb12c574fa45a51ba60177827945c31e65d5b0947e22206
		8004000600010000 8003000680c10000`
	ourInit = `4e20 2328 00000000 48642ffc 0100001d 01020304 00010000 0001 0001 01020304 bf570009 776f726431 000000`
)

// Each kind of packet as literal bytes, written and read.
func TestPackets(t *testing.T) {
	for _, tt := range []struct {
		packet Packet
		bytes  string // "CRC" stands for the checksum
	}{
		{Packet{Source: 20000, Destination: 9000, Chunk: Init, Initiate: 0x01020304, Text: "word1"},
			strings.ReplaceAll(ourInit, "48642ffc", "CRC")},
		{Packet{Source: 9000, Destination: 20000, Tag: 0x01020304, Chunk: InitAck, Initiate: 7, Text: "word"},
			"2328 4e20 01020304 CRC 0200001c 00000007 00010000 0001 0001 00000007 00070008 776f7264"},
		{Packet{Source: 9000, Destination: 20000, Tag: 0x01020304, Chunk: Abort, Text: "no"},
			"2328 4e20 01020304 CRC 0600000a 000c0006 6e6f 0000"},
		{Packet{Source: 9000, Destination: 20000, Tag: 1, Chunk: Abort},
			"2328 4e20 00000001 CRC 06000004"},
	} {
		got := tt.packet.Bytes()
		want := unhex(t, strings.ReplaceAll(tt.bytes, "CRC", hex.EncodeToString(got[8:12])))
		if !slices.Equal(got, want) {
			t.Errorf("%+v: got\n%x, want\n%x", tt.packet, got, want)
		}
		if back, err := Parse(got); err != nil || back != tt.packet {
			t.Errorf("%s is read as %+v, %v", tt.bytes, back, err)
		}
	}
	// What others send is understood as far as it concerns us.
	p, err := Parse(unhex(t, usrsctpInit))
	if want := (Packet{Source: 5000, Destination: 5000, Chunk: Init, Initiate: 0x55b964a5}); err != nil || p != want {
		t.Errorf("usrsctp's INIT is read as %+v, %v", p, err)
	}
}

func TestWrongPackets(t *testing.T) {
	good := Packet{Source: 1, Destination: 2, Chunk: Init, Initiate: 3, Text: "w"}.Bytes()
	seal := func(b []byte) []byte {
		binary.LittleEndian.PutUint32(b[8:], Checksum(b))
		return b
	}
	turned := func(at int, to byte) []byte {
		b := slices.Clone(good)
		b[at] = to
		return b
	}
	for _, tt := range []struct {
		name string
		b    []byte
		want error
	}{
		{"a port was translated and the checksum was not", turned(3, 9), ErrChecksum},
		{"cut off in the header", good[:11], ErrShort},
		{"a chunk that says to be longer", seal(turned(15, 99)), ErrShort},
		{"an INIT that says to be shorter than an INIT", seal(turned(15, 4)), ErrChunk},
		{"DATA", seal(turned(12, 0)), ErrChunk},
		{"an INIT with something behind", seal(append(slices.Clone(good), 6, 0, 0, 4)), ErrChunk},
	} {
		if _, err := Parse(tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(unhex(f, usrsctpInit))
	f.Add(unhex(f, ourInit))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 12 {
			binary.LittleEndian.PutUint32(b[8:], Checksum(b))
		}
		if p, err := Parse(b); err == nil && p.Chunk != Init && p.Chunk != InitAck && p.Chunk != Abort {
			t.Errorf("%x is read as %+v", b, p)
		}
	})
}
