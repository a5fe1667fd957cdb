package reflector

import (
	"encoding/binary"
	"errors"
)

var errWire = errors.New("the protobuf is damaged")

// fields goes through the fields of a protobuf message (https://protobuf.dev/programming-guides/encoding/).
type fields struct {
	rest []byte
	num  int    // of the field
	val  uint64 // of a varint
	data []byte // of a message, string or bytes; it is a part of the message
	err  error
}

// The wire types that there are in Kubernetes' messages, and two that may be skipped.
const (
	asVarint = 0
	asFixed8 = 1
	asBytes  = 2
	asFixed4 = 5
)

// next moves to the next field; false at the end, and where the message is damaged (err).
func (f *fields) next() bool {
	if len(f.rest) == 0 || f.err != nil {
		return false
	}
	tag, n := uvarint(f.rest)
	f.rest, f.data, f.val = f.rest[n:], nil, 0
	f.num = int(tag >> 3)
	if n == 0 || f.num == 0 {
		f.err = errWire
		return false
	}
	size := uint64(0)
	switch tag & 7 {
	case asVarint:
		if f.val, n = uvarint(f.rest); n == 0 {
			f.err = errWire
			return false
		}
		f.rest = f.rest[n:]
		return true
	case asBytes:
		if size, n = uvarint(f.rest); n == 0 {
			f.err = errWire
			return false
		}
		f.rest = f.rest[n:]
	case asFixed8:
		size = 8
	case asFixed4:
		size = 4
	default:
		f.err = errWire
		return false
	}
	if size > uint64(len(f.rest)) {
		f.err = errWire
		return false
	}
	f.data, f.rest = f.rest[:size], f.rest[size:]
	return true
}

// uvarint is binary.Uvarint with a short way for one byte; 0 bytes are read of what is damaged.
func uvarint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	v, n := binary.Uvarint(b)
	return v, max(n, 0)
}

// pair is an entry of a map<string, string>.
func pair(b []byte) (key, value []byte, err error) {
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			key = f.data
		case 2:
			value = f.data
		}
	}
	return key, value, f.err
}
