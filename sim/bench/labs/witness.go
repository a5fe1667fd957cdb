package labs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"svclab/nsnet"
	"svclab/nsnet/wire"
)

// witness sees when the kernel has taken away what was closed before: it takes namespaces away in the order in which they were
// let go of, many at once, and what is left of a wire goes with the namespace at its other end.
type witness struct{ here, there *nsnet.NS }

func newWitness() (*witness, error) {
	w := &witness{}
	err := w.open()
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *witness) open() (err error) {
	if w.here, err = nsnet.New("witness"); err != nil {
		return err
	}
	if w.there, err = nsnet.New("witness's other end"); err != nil {
		return err
	}
	return wire.Veth(wire.End{NS: w.here, Name: "eth0"}, wire.End{NS: w.there, Name: "eth0"})
}

// patience is far longer than the kernel takes for any lab.
const patience = 5 * time.Minute

// gone returns when all that was closed before is gone.
func (w *witness) gone(ctx context.Context) error {
	h, err := w.here.Netlink()
	if err != nil {
		return err
	}
	if err := w.there.Close(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the kernel has not taken away what was closed within %s", patience))
	defer cancel()
	for {
		_, err := h.LinkByName("eth0")
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
}

func (w *witness) close() error {
	var errs []error
	for _, ns := range []*nsnet.NS{w.here, w.there} {
		if ns != nil {
			errs = append(errs, ns.Close())
		}
	}
	return errors.Join(errs...)
}

// sumOf adds up lines of a file of /proc that counts in kB, in bytes. One that the kernel does not have is nothing.
func sumOf(path string, names ...string) (sum int64, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if !slices.Contains(names, name) {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s of %s: %w", name, path, err)
		}
		sum += kb << 10
	}
	return sum, nil
}
