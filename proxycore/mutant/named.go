package mutant

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"svclab/proxycore"
)

// table is where the backend nftables writes its rules, in both families; each rule has its name as comment.
const table = "svclab"

// inner is the wrapped backend; what a mutant does not spoil goes through.
type inner struct{ proxycore.Backend }

// RuleFor is the wrapped backend's, where it has one.
func (i inner) RuleFor(f proxycore.Front, to netip.AddrPort) (string, bool) {
	if n, ok := i.Backend.(proxycore.Namer); ok {
		return n.RuleFor(f, to)
	}
	return "", false
}

// withoutRule deletes rules by their names after a Program that may have written them.
type withoutRule struct {
	inner
	netns int
	match func(comment string) bool
	// written reports whether the change may bring such a rule back; it is asked for every change, in order.
	written func(c proxycore.Change) bool
	failed  bool // the rule may be there still
}

func (w *withoutRule) Program(ctx context.Context, c proxycore.Change) error {
	err := w.inner.Program(ctx, c)
	if w.written(c) || err != nil {
		w.failed = true
	}
	if err != nil || !w.failed {
		return err
	}
	if err := deleteRules(w.netns, w.match); err != nil {
		return fmt.Errorf("spoil the rules: %w", err)
	}
	w.failed = false
	return nil
}

// deleteRules deletes the rules of our tables whose comment matches. The rules are listed by hand: google/nftables v0.3.0
// cannot read a `ct original` expression (its direction is one byte), and here only names and handles matter.
func deleteRules(netns int, match func(comment string) bool) error {
	list, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns})
	if err != nil {
		return err
	}
	defer list.Close()
	if err := list.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	conn, err := nftables.New(nftables.WithNetNSFd(netns))
	if err != nil {
		return err
	}
	found := false
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		answer, err := list.Execute(netlink.Message{
			Header: netlink.Header{
				Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE,
				Flags: netlink.Request | netlink.Dump,
			},
			Data: []byte{byte(family), unix.NFNETLINK_V0, 0, 0},
		})
		if err != nil {
			return fmt.Errorf("list rules: %w", err)
		}
		for _, m := range answer {
			if rule := readRule(m.Data, family); rule != nil && match(rule.comment) {
				found = true
				if err := conn.DelRule(&rule.Rule); err != nil {
					return err
				}
			}
		}
	}
	if !found {
		return nil
	}
	return conn.Flush()
}

type namedRule struct {
	nftables.Rule
	comment string
}

// readRule reads place, handle and comment; nil for a rule of somebody else's table.
func readRule(body []byte, family nftables.TableFamily) *namedRule {
	if len(body) < 4 {
		return nil
	}
	d, err := netlink.NewAttributeDecoder(body[4:])
	if err != nil {
		return nil
	}
	d.ByteOrder = binary.BigEndian
	r := &namedRule{Rule: nftables.Rule{Table: &nftables.Table{Family: family}, Chain: &nftables.Chain{}}}
	for d.Next() {
		switch d.Type() {
		case unix.NFTA_RULE_TABLE:
			r.Table.Name = d.String()
		case unix.NFTA_RULE_CHAIN:
			r.Chain.Name = d.String()
		case unix.NFTA_RULE_HANDLE:
			r.Handle = d.Uint64()
		case unix.NFTA_RULE_USERDATA:
			r.comment, _ = userdata.GetString(d.Bytes(), userdata.TypeComment)
		}
	}
	if d.Err() != nil || r.Table.Name != table {
		return nil
	}
	return r
}

const patience = 10 * time.Second
