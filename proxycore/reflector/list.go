package reflector

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// magic begins every object in protobuf; a runtime.Unknown follows (https://kubernetes.io/docs/reference/using-api/api-concepts/).
const magic = "k8s\x00"

// The fields of a runtime.Unknown that matter (k8s.io/apimachinery/pkg/runtime/generated.proto).
const (
	unknownType = 1
	unknownRaw  = 2
	typeKind    = 2
)

// unwrap takes an object in protobuf out of its envelope.
func unwrap(b []byte) (kind string, raw []byte, err error) {
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return "", nil, errors.New("the protobuf does not begin as Kubernetes' does")
	}
	f := fields{rest: b[len(magic):]}
	for f.next() {
		switch f.num {
		case unknownType:
			kind = kindOf(f.data)
		case unknownRaw:
			raw = f.data
		}
	}
	return kind, raw, f.err
}

func kindOf(typeMeta []byte) (kind string) {
	for f := (fields{rest: typeMeta}); f.next(); {
		if f.num == typeKind {
			kind = string(f.data)
		}
	}
	return kind
}

// listReader reads a list in protobuf object by object, while it comes in.
type listReader struct {
	*bufio.Reader
	large []byte // an object that is larger than the reader's buffer
}

// piece returns the next n bytes; they are valid until the next call.
func (r *listReader) piece(n uint64) ([]byte, error) {
	const most = 64 << 20 // no object is as large
	if n > most {
		return nil, errWire
	}
	if n <= uint64(r.Size()) {
		b, err := r.Peek(int(n))
		if err != nil {
			return nil, half(err)
		}
		_, err = r.Discard(int(n))
		return b, err
	}
	if uint64(cap(r.large)) < n {
		r.large = make([]byte, n)
	}
	r.large = r.large[:n]
	_, err := io.ReadFull(r, r.large)
	return r.large, half(err)
}

// half: an end in the middle is an error, and not an end.
func half(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// tag reads the beginning of a field that has a length, and how many bytes that was.
func (r *listReader) tag() (num int, size uint64, read int, err error) {
	at := &counter{r: r.Reader}
	tag, err := binary.ReadUvarint(at)
	if err != nil {
		if at.n > 0 {
			err = half(err)
		}
		return 0, 0, at.n, err
	}
	if tag&7 != asBytes {
		return 0, 0, at.n, errWire
	}
	size, err = binary.ReadUvarint(at)
	return int(tag >> 3), size, at.n, half(err)
}

type counter struct {
	r *bufio.Reader
	n int
}

func (c *counter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// list calls each with every object of a list in protobuf.
func (r *listReader) list(kind string, each func(b []byte) error) (meta metav1.ListMeta, err error) {
	head, err := r.piece(uint64(len(magic)))
	if err != nil {
		return meta, err
	}
	if string(head) != magic {
		return meta, errors.New("the protobuf does not begin as Kubernetes' does")
	}
	whole := false
	for {
		num, size, _, err := r.tag()
		switch {
		case err == io.EOF && whole:
			return meta, nil
		case err != nil:
			return meta, half(err)
		}
		if num == unknownRaw {
			if err := r.items(size, &meta, each); err != nil {
				return meta, err
			}
			whole = true
			continue
		}
		b, err := r.piece(size)
		if err != nil {
			return meta, err
		}
		if got := kindOf(b); num == unknownType && got != kind+"List" {
			return meta, fmt.Errorf("the answer is %s, and not %sList", got, kind)
		}
	}
}

func (r *listReader) items(size uint64, meta *metav1.ListMeta, each func(b []byte) error) error {
	for size > 0 {
		num, n, head, err := r.tag()
		if err != nil {
			return half(err)
		}
		if uint64(head)+n > size {
			return errWire
		}
		size -= uint64(head) + n
		b, err := r.piece(n)
		if err != nil {
			return err
		}
		switch num {
		case 1:
			err = meta.Unmarshal(b)
		case 2:
			err = each(b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// jsonList calls each with every object of a list in JSON.
func jsonList(r io.Reader, kind string, each func(b []byte) error) (metav1.ListMeta, error) {
	var l struct {
		Kind     string            `json:"kind"`
		Metadata metav1.ListMeta   `json:"metadata"`
		Items    []json.RawMessage `json:"items"`
	}
	if err := json.NewDecoder(r).Decode(&l); err != nil {
		return l.Metadata, half(err)
	}
	if l.Kind != kind+"List" {
		return l.Metadata, fmt.Errorf("the answer is %s, and not %sList", l.Kind, kind)
	}
	for _, b := range l.Items {
		if err := each(b); err != nil {
			return l.Metadata, err
		}
	}
	return l.Metadata, nil
}
