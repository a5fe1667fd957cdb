package reflector

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// frames reads the events of a watch.
type frames struct {
	listReader
	json *json.Decoder // nil: protobuf
}

func framesOf(a *answer) *frames {
	const buffer = 32 << 10
	f := &frames{listReader: listReader{Reader: bufio.NewReaderSize(a, buffer)}}
	if !a.protobuf {
		f.json = json.NewDecoder(f.Reader)
	}
	return f
}

// next waits for an event. io.EOF: the watch has ended between two events. object is valid until the next call: a message of
// the kind, or JSON.
func (f *frames) next() (typ watch.EventType, kind string, object []byte, err error) {
	if f.json != nil {
		var e struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		if err := f.json.Decode(&e); err != nil {
			return "", "", nil, err
		}
		var t metav1.TypeMeta
		err := json.Unmarshal(e.Object, &t)
		return watch.EventType(e.Type), t.Kind, e.Object, err
	}
	// A length of four bytes, and a WatchEvent without an envelope, whose object has one (k8s.io/apimachinery pkg/util/framer).
	head, err := f.Peek(4)
	if err != nil {
		if len(head) > 0 {
			err = half(err)
		}
		return "", "", nil, err
	}
	size := binary.BigEndian.Uint32(head)
	if _, err := f.Discard(4); err != nil {
		return "", "", nil, half(err)
	}
	b, err := f.piece(uint64(size))
	if err != nil {
		return "", "", nil, err
	}
	m := fields{rest: b}
	for m.next() {
		switch m.num {
		case 1:
			typ = watch.EventType(m.data)
		case 2:
			for o := (fields{rest: m.data}); o.next(); {
				if o.num == 1 {
					object = o.data
				}
			}
		}
	}
	if m.err != nil {
		return "", "", nil, m.err
	}
	kind, object, err = unwrap(object)
	return typ, kind, object, err
}

// more: a whole event is here already.
func (f *frames) more() bool {
	if f.json != nil {
		return false
	}
	n := f.Buffered()
	if n < 4 {
		return false
	}
	head, err := f.Peek(4)
	return err == nil && uint64(n) >= 4+uint64(binary.BigEndian.Uint32(head))
}

// failure is the Status of an ERROR event.
func (f *frames) failure(object []byte) error {
	var s metav1.Status
	var err error
	if f.json != nil {
		err = json.Unmarshal(object, &s)
	} else {
		err = s.Unmarshal(object)
	}
	if err != nil {
		return fmt.Errorf("the server reports an error that cannot be read: %w", err)
	}
	return &refusal{int(s.Code), s.Message}
}
