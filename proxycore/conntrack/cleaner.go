// Package conntrack removes the connection-tracking entries that would keep a UDP client on an endpoint that is gone,
// and lists entries for whoever explains a verdict. It speaks ctnetlink in one network namespace, and touches nothing
// but UDP entries to the fronts that it is told.
//
// A UDP "connection" is an entry that every packet renews: a client that never pauses stays translated to a removed
// endpoint for ever (service-semantics group CT; kubernetes pkg/proxy/conntrack/cleanup.go).
package conntrack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

const (
	patience  = 10 * time.Second
	dumpTries = 10
)

// Cleaner implements proxycore.Cleaner.
type Cleaner struct {
	conn    *netlink.Conn
	deleted uint64
	closed  bool
}

var _ proxycore.Cleaner = (*Cleaner)(nil)

// New opens a cleaner for the network namespace of that file descriptor, which is not needed afterwards.
func New(netns int) (*Cleaner, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, fmt.Errorf("open a conntrack socket: %w", err)
	}
	return &Cleaner{conn: conn}, nil
}

// Clean deletes the UDP entries to each front whose answers come from none of the addresses given for it. An entry that
// was never translated answers from the front itself, so it goes too: it was made while the front had no endpoint, and
// would hide the endpoints that it has now. Entries in a zone are somebody else's: no proxy's rules make one.
func (c *Cleaner) Clean(ctx context.Context, keep map[proxycore.Front][]netip.AddrPort) error {
	fronts := make(map[netip.AddrPort][]netip.AddrPort, len(keep))
	var of4, of6 []netip.AddrPort
	for f, to := range keep {
		if f.Proto != cluster.UDP {
			continue
		}
		at := netip.AddrPortFrom(f.Addr, f.Port)
		fronts[at] = to
		if f.Addr.Is4() {
			of4 = append(of4, at)
		} else {
			of6 = append(of6, at)
		}
	}
	var errs []error
	for _, family := range []struct {
		number uint8
		fronts []netip.AddrPort
	}{{unix.AF_INET, of4}, {unix.AF_INET6, of6}} {
		list, err := c.entriesTo(ctx, family.number, family.fronts)
		if err != nil {
			return err
		}
		for _, e := range list {
			to, ours := fronts[e.OrigDst]
			if !ours || e.zone != nil || slices.Contains(to, e.ReplySrc) {
				continue
			}
			if err := c.remove(ctx, family.number, e); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// fewFronts are asked for one by one: the kernel goes through its table as often, but writes down what it is asked for only,
// which is what takes the time.
const fewFronts = 8

// entriesTo lists the UDP entries to these fronts of one family, and of many fronts all UDP entries of the family.
func (c *Cleaner) entriesTo(ctx context.Context, family uint8, fronts []netip.AddrPort) (list []Entry, err error) {
	if len(fronts) > fewFronts {
		return c.dump(ctx, family, unix.IPPROTO_UDP, nil)
	}
	for _, f := range fronts {
		filter, err := onlyTo(f)
		if err != nil {
			return nil, err
		}
		some, err := c.dump(ctx, family, unix.IPPROTO_UDP, filter)
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
	}
	return list, nil
}

// Entries lists the entries of a protocol, 0 for all, of both families.
func (c *Cleaner) Entries(ctx context.Context, proto uint8) ([]Entry, error) {
	four, err := c.dump(ctx, unix.AF_INET, proto, nil)
	if err != nil {
		return nil, err
	}
	six, err := c.dump(ctx, unix.AF_INET6, proto, nil)
	return append(four, six...), err
}

// dump asks for all entries of a family that a filter lets through, and picks those of the protocol. Never for a single one: that request is not
// answered in a way that mdlayher/netlink notices the end of.
func (c *Cleaner) dump(ctx context.Context, family, proto uint8, filter []byte) ([]Entry, error) {
	for range dumpTries {
		answer, err := c.ask(ctx, getEntry, netlink.Dump, family, filter)
		if err != nil {
			return nil, fmt.Errorf("list conntrack entries: %w", err)
		}
		var list []Entry
		whole := true
		for _, m := range answer {
			whole = whole && m.Header.Flags&netlink.DumpInterrupted == 0
			if e, ok := parse(m.Data); ok && (proto == 0 || proto == e.Proto) {
				list = append(list, e)
			}
		}
		if whole {
			return list, nil
		}
	}
	return nil, fmt.Errorf("list conntrack entries: they changed during each of %d dumps", dumpTries)
}

// remove names the entry by its original tuple and its ID, so that a new entry of the same tuple is spared.
func (c *Cleaner) remove(ctx context.Context, family uint8, e Entry) error {
	attrs := []netlink.Attribute{{Type: ctaTupleOrig | unix.NLA_F_NESTED, Data: e.tuple}, {Type: ctaID, Data: e.id}}
	if e.zone != nil {
		attrs = append(attrs, netlink.Attribute{Type: ctaZone, Data: e.zone})
	}
	body, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		return err
	}
	_, err = c.ask(ctx, deleteEntry, netlink.Acknowledge, family, body)
	if errors.Is(err, unix.ENOENT) {
		return nil // gone by itself
	}
	if err != nil {
		return fmt.Errorf("delete conntrack entry %v: %w", e, err)
	}
	c.deleted++
	return nil
}

// Deleted is how many entries Clean has deleted so far.
func (c *Cleaner) Deleted() uint64 { return c.deleted }

func (c *Cleaner) ask(ctx context.Context, typ uint16, flags netlink.HeaderFlags, family uint8, attrs []byte) ([]netlink.Message, error) {
	if c.closed {
		return nil, errors.New("the cleaner is closed")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	until := time.Now().Add(patience)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	if err := c.conn.SetDeadline(until); err != nil {
		return nil, err
	}
	return c.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_CTNETLINK<<8 | typ), Flags: netlink.Request | flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
}

// Close may be called twice.
func (c *Cleaner) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	return c.conn.Close()
}
