package nsnet_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
)

// getLink asks for devices by their indexes.
func getLink(indexes ...uint32) (b []byte) {
	for _, i := range indexes {
		m := make([]byte, unix.NLMSG_HDRLEN+unix.SizeofIfInfomsg)
		binary.NativeEndian.PutUint32(m, uint32(len(m)))
		binary.NativeEndian.PutUint16(m[4:], unix.RTM_GETLINK)
		binary.NativeEndian.PutUint16(m[6:], unix.NLM_F_REQUEST)
		binary.NativeEndian.PutUint32(m[unix.NLMSG_HDRLEN+4:], i)
		b = append(b, m...)
	}
	return b
}

// TestExchange: all messages are done, answers come by message, and the error is that of the first that failed.
func TestExchange(t *testing.T) {
	ns := nstest.NS(t, "pod")
	for range 2 { // the second time on the same socket
		var answered []int
		err := ns.Exchange(getLink(1, 77, 1, 78, 1), func(i int, kind uint16, content []byte) {
			if kind != unix.RTM_NEWLINK || binary.NativeEndian.Uint32(content[4:]) != 1 {
				t.Errorf("message %d: answer of kind %d", i, kind)
			}
			answered = append(answered, i)
		})
		var failed *nsnet.RequestError
		if !errors.As(err, &failed) || failed.Index != 1 || failed.Err != unix.ENODEV {
			t.Errorf("got %v, want that the second message has no device", err)
		}
		if want := []int{0, 2, 4}; !slices.Equal(answered, want) {
			t.Errorf("answers to %v, want %v", answered, want)
		}
	}
	if err := ns.Exchange(getLink(1, 77), nil); !errors.Is(err, unix.ENODEV) {
		t.Errorf("the last message failed: %v", err)
	}
	if err := ns.Exchange(getLink(1), nil); err != nil {
		t.Errorf("after errors: %v", err)
	}
	if err := ns.Exchange(getLink(1)[:20], nil); err == nil {
		t.Error("half a message was no error")
	}
}

// TestExchangeIsOneTurn pins what the whole is for.
func TestExchangeIsOneTurn(t *testing.T) {
	ns := nstest.NS(t, "pod")
	before := nsnet.Counted()
	if err := ns.Exchange(getLink(1, 1, 1), nil); err != nil {
		t.Fatal(err)
	}
	if got, want := nsnet.Counted().Sub(before), (nsnet.Counts{Visits: 1, Exchanges: 1, Messages: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
