// Package nftables makes a node's kernel forward Services through nf_tables. It programs, over netlink and in one
// transaction for both families, a table whose number of chains does not depend on the number of Services: a front is
// an element, an endpoint is an element, and a change of one costs the same among 1,000 Services and 30,000.
//
//	map services     front          → number of a chain
//	map by-service   number         → goto chain
//	map endpoints    front . slot   → address . port
//	map affinity     client . front → id of an endpoint, map live front . id → address . port
//
//	prerouting ─┐              ┌─► lb-N: a random slot of N ──► to-endpoint: dnat to it, else to slot 0, else refuse
//	output ─────┴─► dispatch ──┼─► sticky-T: dnat to the endpoint remembered, or pick-N one and remember it for T seconds
//	                           ├─► refuse
//	                           ├─► ignore
//	                           ├─► etp-local: pods and this node to the chain in map internal (one of the above),
//	                           │   everybody else to that in external: lb-N-local, sticky-T-local, refuse, ignore
//	                           └─► source-check: who is in source-ranges to the chain in map allowed (one of the above)
//	postrouting ──► translated ──► masq
//
// A front with a Local policy has the slots of its local endpoints from 65536 on; their clients are remembered in the same
// map, and looked for in local-live. All chains are in nat hooks: only the first packet of a connection meets a rule. What
// the layout must do, and what was seen to fail without it, is in flat-layout.md.
//
// What limits it is the kernel, which takes about 0.5 µs for an element. A first sync of 10,000 Services of 10 endpoints is
// 120,000 elements in 5 MB; Program takes 1.1 to 1.3 times what the kernel takes for the same bytes sent again
// (BenchmarkFirstSync, both in turns), since one transaction is encoded while the kernel has the one before, which needs a
// second processor. It was 1.8 times when the whole was encoded first. A change is one transaction of 200 to 700 bytes, the
// same among 1,000 Services and 50,000 (counts_test.go; medians of 7 to 14 µs, ratio 0.9 to 1.5), and one more of 2 KB where a
// pool is of a size that nobody has had. What the kernel does at the cost of everything there is, and is therefore never asked
// for by a change: validate a verdict map (numbers.go), walk through the map that a new rule names (layout.go, pool), list
// a set in pieces of 32 KB (adopt.go, readable). Source ranges are the exception (front.go, admit). A new process reads
// what is there, 2 to 3 times as long as a first sync takes; above 131,072 slots it writes them again instead.
//
// No packet is lost by a change, and none goes astray: see program.go for the order. The package executes nothing and
// moves no thread; it takes the network namespace as a file descriptor.
package nftables

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"svclab/proxycore"
)

// Options say where to program what.
type Options struct {
	NetNS          int    // required: a file descriptor of the node's network namespace; needed by New only
	Table          string // the name of the tables, one a family; default "svclab"
	MaxTransaction int    // bytes that a transaction may have; 0: as many as the socket takes
}

// Backend programs one node. It implements proxycore.Backend and proxycore.Namer.
type Backend struct {
	sock  *socket
	table string
	limit int // bytes of a transaction
	known bool
	node  proxycore.NodeRules
	sides [2]*side // what is in the kernel, by family; valid while known
	tx    *transaction
	pipe  *pipeline // while a first sync is under way

	readable int  // see the constant
	refills  bool // the Full change at hand has not read the map endpoints, and fills it anew
	slots    [2]slotter
	key      [40]byte // scratch
	data     [40]byte
	closed   bool

	bytes, transactions atomic.Uint64 // put in force
	intact              uint32        // the kernel's generation less our transactions, when all was as it should be; see Touched
	fault               func() error  // of tests: what becomes of the next transaction
}

// side is one family's table as it is in the kernel.
type side struct {
	f          *family
	fam        int
	fresh      bool // the table is not there yet
	character  character
	intervals  map[setID][]span // pods, service-cidrs
	fronts     fronts
	chains     map[uint32]bool // of those that come and go the ones that are there, by number
	users      map[uint32]int  // of numbers: fronts
	clusterIPs refs
	hairpin    refs
	count      [numSets]int // elements
	coming     [numSets]int // elements that the change at hand may add, over those that it removes
	size       [numSets]int // declared; 0: without bound
}

var (
	_ proxycore.Backend = (*Backend)(nil)
	_ proxycore.Namer   = (*Backend)(nil)
	_ proxycore.Guard   = (*Backend)(nil)
	_ proxycore.Meter   = (*Backend)(nil)
)

// New opens a backend for a network namespace. It changes nothing there yet.
func New(o Options) (*Backend, error) {
	sock, err := dial(o.NetNS)
	if err != nil {
		return nil, err
	}
	b := &Backend{sock: sock, table: o.Table, limit: sock.limit, tx: &transaction{}, readable: readable}
	if b.table == "" {
		b.table = "svclab"
	}
	if o.MaxTransaction > 0 {
		b.limit = min(b.limit, o.MaxTransaction)
	}
	b.tx.table = b.table
	b.tx.reset(0)
	return b, nil
}

var (
	errClosed  = errors.New("the backend is closed")
	errStopped = errors.New("a transaction before was not taken")
)

// send puts the collected transaction in force, if there is anything in it, and begins the next.
func (b *Backend) send(ctx context.Context) error {
	if b.tx.empty() {
		return nil
	}
	b.tx.compose()
	b.sock.seq = b.tx.seq + 1 // the batch's end has a number too
	if b.fault != nil {
		if err := b.fault(); err != nil {
			b.tx.reset(b.sock.seq)
			return err
		}
	}
	if b.pipe != nil {
		return b.pipe.pass(ctx)
	}
	err := b.commit(ctx, b.tx)
	b.tx.reset(b.sock.seq)
	return err
}

// commit puts a composed transaction in force.
func (b *Backend) commit(ctx context.Context, t *transaction) error {
	err := b.sock.commit(ctx, t.out.b, t.first, t.seq)
	if err == nil {
		b.bytes.Add(uint64(len(t.out.b)))
		b.transactions.Add(1)
	}
	return err
}

// Sent is proxycore.Meter's. It may be called at any time, by anybody.
func (b *Backend) Sent() (bytes, transactions uint64) { return b.bytes.Load(), b.transactions.Load() }

// RuleFor names the rule and the element that send a flow to the front to that endpoint, as nft lists them.
func (b *Backend) RuleFor(f proxycore.Front, to netip.AddrPort) (string, bool) {
	if !b.known || !f.Addr.IsValid() {
		return "", false
	}
	s := b.sides[familyIndex(f.Addr)]
	p := s.fronts.at(f)
	if p == nil {
		return "", false
	}
	var ways []string
	for h, number := range p.numbers.ends() {
		pool := &p.pools[h]
		i := slices.IndexFunc(pool.slots, func(e proxycore.Endpoint) bool { return e.AddrPort == to })
		if i < 0 {
			continue
		}
		set, key := endpoints, firstSlot(h)+i
		if id := at(pool.ids, i); id != 0 {
			set, key = live+setID(h), int(id)
		}
		ways = append(ways, fmt.Sprintf("chain %s, map %s, element %s", chainOf(number), sets[set].name, s.f.element(set, appendSlot(nil, f, key))))
	}
	if ways == nil {
		return "", false
	}
	return fmt.Sprintf("table %s %s, %s", s.f.name, b.table, strings.Join(ways, ", or for traffic from outside ")), true
}

// Close deletes our two tables and nothing else.
func (b *Backend) Close() error {
	if b.closed {
		return nil
	}
	b.closed, b.known = true, false
	b.tx.reset(b.sock.seq) // what a failed Program has left
	for fam := range families {
		b.tx.dropTable(fam)
	}
	return errors.Join(b.send(context.Background()), b.sock.close())
}

// dropTable deletes a table whether it is there or not: it is added first, which does nothing to one that is.
func (t *transaction) dropTable(fam int) {
	name := func(w *buffer) { w.str(unix.NFTA_TABLE_NAME, t.table) }
	t.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, fam, name)
	t.message(unix.NFT_MSG_DELTABLE, 0, fam, name)
}
