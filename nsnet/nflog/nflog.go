// Package nflog hears which rules of ip_tables ("iptables-legacy") a traced packet meets. ip_tables writes a line like
// "TRACE: nat:PREROUTING:rule:2 " to the namespace's packet log whenever the packet's trace bit is set, by a TRACE rule or by a
// rule of nf_tables (package nftrace); nfnetlink_log hands the line out with the packet.
package nflog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// Event is one rule that one packet met.
type Event struct {
	Table, Chain string
	Kind         string // "rule", "return" or "policy"
	Rule         int    // the how manieth of its chain, from 1, as iptables-legacy-save lists them; of the others one more than there are
	Hook         uint8  // unix.NF_INET_PRE_ROUTING …
	In, Out      uint32 // indexes of devices, 0: none
	Mark         uint32
	Packet       []byte // from the IP header on, cut short
}

// linux/netfilter/nfnetlink_log.h.
const (
	subsystem = unix.NFNL_SUBSYS_ULOG
	msgPacket = 0
	msgConfig = 1

	attrHeader  = 1
	attrMark    = 2
	attrIn      = 4
	attrOut     = 5
	attrPayload = 9
	attrPrefix  = 10

	cfgCommand   = 1
	cfgMode      = 2
	cfgThreshold = 5

	bind = 1

	copyPacket = 2
	snap       = 128 // bytes: headers, and what ICMP quotes
	readBuffer = 8 << 20
	patience   = 5 * time.Second
)

// Log hears one namespace. Its methods may be called from any goroutine.
type Log struct {
	conn   *netlink.Conn
	ns     *nsnet.NS
	former []nsnet.Setting // who had the packet log before, by family
	done   chan struct{}
	once   sync.Once

	mu     sync.Mutex
	events []Event
	lost   bool
	closed bool // what Receive says after that is about Close
	err    error
}

// Open makes itself the packet log of a namespace, of both families. Group 0, to which traces go, has room for one listener: a
// second one is EPERM. Close gives the log back to whoever had it.
func Open(ns *nsnet.NS) (_ *Log, err error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: ns.FD()})
	if err != nil {
		return nil, fmt.Errorf("hear the packet log of namespace %s: %w", ns.Name(), err)
	}
	l := &Log{conn: conn, ns: ns, done: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("hear the packet log of namespace %s: %w", ns.Name(), err), l.giveBack(), conn.Close())
		}
	}()
	_ = conn.SetReadBuffer(readBuffer) // as much as there is; a loss is noticed
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if err := l.configure(cfgCommand, []byte{bind}); err != nil {
		return nil, fmt.Errorf("bind group 0: %w", err)
	}
	mode := append(binary.BigEndian.AppendUint32(nil, snap), copyPacket, 0)
	if err := l.configure(cfgMode, mode); err != nil {
		return nil, fmt.Errorf("ask for packets: %w", err)
	}
	if err := l.configure(cfgThreshold, binary.BigEndian.AppendUint32(nil, 1)); err != nil {
		return nil, fmt.Errorf("ask for each at once: %w", err)
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		key := fmt.Sprint("net/netfilter/nf_log/", family)
		had, err := ns.ReadFile("/proc/sys/" + key)
		if err != nil {
			return nil, err
		}
		if err := ns.Sysctl(key, "nfnetlink_log"); err != nil {
			return nil, err
		}
		l.former = append(l.former, nsnet.Setting{Key: key, Value: strings.TrimSpace(string(had))})
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	go l.read()
	return l, nil
}

func (l *Log) configure(typ uint16, value []byte) error {
	body, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: typ, Data: value}})
	if err != nil {
		return err
	}
	_, err = l.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: subsystem<<8 | msgConfig, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0}, body...),
	})
	return err
}

// giveBack gives the packet log back.
func (l *Log) giveBack() error {
	err := l.ns.Sysctls(l.former...)
	l.former = nil
	return err
}

func (l *Log) read() {
	defer close(l.done)
	for {
		list, err := l.conn.Receive()
		l.mu.Lock()
		for _, m := range list {
			if m.Header.Type != subsystem<<8|msgPacket || len(m.Data) < 4 {
				continue
			}
			if e, ok := parse(m.Data[4:]); ok {
				l.events = append(l.events, e)
			}
		}
		switch {
		case errors.Is(err, unix.ENOBUFS):
			l.lost, err = true, nil
		case err != nil && !l.closed:
			l.err = err
		}
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// parse leaves out what is no trace: rules may log for other reasons.
func parse(attributes []byte) (e Event, ok bool) {
	d, err := netlink.NewAttributeDecoder(attributes)
	if err != nil {
		return e, false
	}
	d.ByteOrder = binary.BigEndian
	prefix := ""
	for d.Next() {
		switch d.Type() {
		case attrHeader:
			if b := d.Bytes(); len(b) >= 3 {
				e.Hook = b[2]
			}
		case attrMark:
			e.Mark = d.Uint32()
		case attrIn:
			e.In = d.Uint32()
		case attrOut:
			e.Out = d.Uint32()
		case attrPayload:
			e.Packet = append([]byte(nil), d.Bytes()...)
		case attrPrefix:
			prefix = d.String()
		}
	}
	words, is := strings.CutPrefix(strings.TrimSpace(prefix), "TRACE: ")
	parts := strings.Split(words, ":")
	if d.Err() != nil || !is || len(parts) != 4 {
		return e, false
	}
	e.Table, e.Chain, e.Kind = parts[0], parts[1], parts[2]
	e.Rule, err = strconv.Atoi(parts[3])
	return e, err == nil
}

// Events is all there was so far, in the kernel's order. lost: some were not read in time.
func (l *Log) Events() (events []Event, lost bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events), l.lost, l.err
}

// Count is the number of events so far.
func (l *Log) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.events)
}

// Close puts the packet log back and waits for the reader. It may be called twice.
func (l *Log) Close() error {
	var err error
	l.once.Do(func() {
		err = l.giveBack()
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		err = errors.Join(err, l.conn.Close())
		<-l.done
	})
	return err
}
