package kubeapi

import (
	"encoding/binary"
	"io"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// sized is what the generated code of every type can do: say how long its protobuf will be, and write it to the end of a buffer.
type sized interface {
	Size() int
	MarshalToSizedBuffer([]byte) (int, error)
}

// The tags of fields that have a length: number<<3 | 2.
const (
	tagMeta  = 1<<3 | 2 // of a list
	tagItem  = 2<<3 | 2
	tagRaw   = 2<<3 | 2 // of a runtime.Unknown
	listPage = 64 << 10
)

// streamList writes a list in protobuf object by object, as a real server does from v1.33 on (KEP-5116): nothing is copied, a
// large list is no garbage, and the client decodes while the rest is encoded.
func streamList(w http.ResponseWriter, res *resource, meta metav1.ListMeta, all []object) {
	sizes := make([]int, len(all))
	raw := field(meta.Size())
	for i, o := range all {
		sizes[i] = o.(sized).Size()
		raw += field(sizes[i])
	}
	head := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: res.GroupVersion.String(), Kind: res.kind + "List"}}
	w.Header().Set("Content-Type", asProtobuf)
	p := &page{w: w, b: make([]byte, 0, listPage)}
	p.b = append(p.b, 'k', '8', 's', 0)
	p.message(1<<3|2, &head.TypeMeta, head.TypeMeta.Size())
	p.b = binary.AppendUvarint(append(p.b, tagRaw), uint64(raw))
	p.message(tagMeta, &meta, meta.Size())
	for i, o := range all {
		p.message(tagItem, o.(sized), sizes[i])
	}
	// Two empty fields that the generated code writes.
	p.b = append(p.b, 3<<3|2, 0, 4<<3|2, 0)
	p.flush()
}

// field is how long one is that has a tag below 16, a length and so many bytes.
func field(n int) int {
	size := 2
	for v := n; v >= 0x80; v >>= 7 {
		size++
	}
	return size + n
}

// page collects what is written at once.
type page struct {
	w   io.Writer
	b   []byte
	err error // the client has hung up, and loses nothing but its own answer
}

func (p *page) message(tag byte, m sized, size int) {
	if p.err != nil {
		return
	}
	if len(p.b)+field(size) > listPage {
		p.flush()
	}
	p.b = binary.AppendUvarint(append(p.b, tag), uint64(size))
	at := len(p.b)
	if free := cap(p.b) - at; free < size {
		p.b = append(p.b, make([]byte, size)...)
	} else {
		p.b = p.b[:at+size]
	}
	if _, err := m.MarshalToSizedBuffer(p.b[at:]); err != nil {
		p.err = err
	}
}

func (p *page) flush() {
	if p.err == nil {
		_, p.err = p.w.Write(p.b)
	}
	p.b = p.b[:0]
}
