// Package evidence watches one flow on its way through a lab and writes down what the kernel says of it: every packet at every
// device, the rules that it met on every node, what connection tracking remembers, the routes, and the counters that moved. It
// judges nothing and guesses nothing: what could not be had is named, with the reason.
package evidence

import (
	"io"
	"net/netip"
	"time"

	"svclab/nsnet/capture"
)

// Evidence is everything about one flow. It can be written as JSON and read back; only the captured frames are then gone.
type Evidence struct {
	Flow     Flow         `json:"flow"`
	Seen     Seen         `json:"seen"`
	Sites    []Site       `json:"sites"`
	Packets  []Packet     `json:"packets"`
	Walks    []Walk       `json:"walks"`
	Memory   []Connection `json:"memory"`
	Routes   []Route      `json:"routes"`
	Counters []Counter    `json:"counters"`
	Missing  []Missing    `json:"missing"` // what could not be had, or may be incomplete
	Tally    Tally        `json:"tally"`

	hops    []capture.Hop
	records []capture.Record
}

// Flow is what was asked for.
type Flow struct {
	From   string         `json:"from"`
	Client netip.AddrPort `json:"client"` // the client's own address and port
	To     netip.AddrPort `json:"to"`
	Proto  string         `json:"proto"`
	Via    string         `json:"via,omitempty"` // outside clients: the node that they enter by
}

// Seen is what the client saw, as world.Observation has it.
type Seen struct {
	Outcome  string         `json:"outcome"`
	Server   netip.AddrPort `json:"server,omitzero"`
	Source   netip.AddrPort `json:"source,omitzero"` // whom the server saw
	Peer     netip.AddrPort `json:"peer,omitzero"`
	ICMPFrom netip.Addr     `json:"icmpFrom,omitzero"`
	Leaked   bool           `json:"leaked,omitempty"`
	Took     time.Duration  `json:"took"` // nanoseconds, as all durations here
}

// Site is a network namespace through which packets may come.
type Site struct {
	Name    string          `json:"name"` // "node/node-1", "pod/web-1", "client/laptop", "underlay", "sink"
	Node    string          `json:"node,omitempty"`
	Addrs   []netip.Addr    `json:"addrs,omitempty"`
	Devices map[string]Wire `json:"devices,omitempty"`
}

// Wire is where a device leads.
type Wire struct {
	Site   string `json:"site"`
	Device string `json:"device"`
}

// Packet is one packet of the flow, there or back, and where it was seen, in order.
type Packet struct {
	Way  Way    `json:"way"`
	What string `json:"what"` // "SYN", "PSH ACK, 9 bytes", "datagram, 9 bytes", "ICMP port unreachable"
	Seq  uint32 `json:"seq,omitempty"`
	ID   uint16 `json:"id,omitempty"` // of the IPv4 header
	Hops []Hop  `json:"hops"`
	End  End    `json:"end"`
}

// Way is a packet's.
type Way string

// There is from the client, Back to it.
const (
	There Way = "there"
	Back  Way = "back"
)

// Hop is a packet at a device, or its walk through a node.
type Hop struct {
	Site   string         `json:"site"`
	Walk   *int           `json:"walk,omitempty"`   // index into Walks; then the fields below are empty
	Device string         `json:"device,omitempty"` // "eth0"
	Out    bool           `json:"out,omitempty"`    // it leaves by the device; else it arrives
	At     time.Duration  `json:"at,omitempty"`     // since the first packet of all was first seen
	Src    netip.AddrPort `json:"src,omitzero"`
	Dst    netip.AddrPort `json:"dst,omitzero"`
	TTL    uint8          `json:"ttl,omitempty"`
}

// End is where a packet was last seen, and what became of it there as far as that shows.
type End struct {
	Site  string `json:"site"`
	Fate  Fate   `json:"fate"`
	Rule  *Rule  `json:"rule,omitempty"`  // Dropped: the rule
	Route *Route `json:"route,omitempty"` // Stopped: a route that leads nowhere
}

// Fate is what became of a packet.
type Fate string

// Delivered: it came to its last machine. Dropped: a rule dropped or rejected it. Leaked: it left by a node's default route, to
// the sink. Stopped: it came into a node and not out again, and no rule has dropped it. Vanished: it was sent and arrived nowhere.
const (
	Delivered Fate = "delivered"
	Dropped   Fate = "dropped"
	Leaked    Fate = "leaked"
	Stopped   Fate = "stopped"
	Vanished  Fate = "vanished"
)

// Walk is a packet's way through the packet filters of a node.
type Walk struct {
	Site   string `json:"site"`
	Packet int    `json:"packet"` // index into Packets
	In     string `json:"in,omitempty"`
	Out    string `json:"out,omitempty"`
	Track  *Track `json:"track,omitempty"`
	Hooks  []Hook `json:"hooks"`
}

// Hook is one of the places where netfilter looks at packets.
type Hook struct {
	Name   string   `json:"name"` // "prerouting", "input", "forward", "output", "postrouting"
	Before Headers  `json:"before"`
	After  *Headers `json:"after,omitempty"` // nil: it did not come to the hook's end
	Rules  []Rule   `json:"rules,omitempty"` // that it met, in order
}

// Headers are those by which a packet is routed.
type Headers struct {
	Src  netip.AddrPort `json:"src"`
	Dst  netip.AddrPort `json:"dst"`
	TTL  uint8          `json:"ttl"`
	Mark uint32         `json:"mark,omitempty"`
}

// Track is what connection tracking knew of the packet when it left the node's filters.
type Track struct {
	ID      uint32 `json:"id"`
	Reply   bool   `json:"reply,omitempty"`
	New     bool   `json:"new,omitempty"`
	Related bool   `json:"related,omitempty"`
	Status  uint32 `json:"status,omitempty"`
}

// Rule is a rule that a packet met and that said something of it, or the end of a chain.
type Rule struct {
	Family  string   `json:"family"` // with table, chain and handle (or number) it names the rule
	Table   string   `json:"table"`
	Chain   string   `json:"chain"`
	Kind    string   `json:"kind"`             // "rule"; "return" and "policy" are the ends of chains
	Handle  uint64   `json:"handle,omitempty"` // of nf_tables
	Number  int      `json:"number,omitempty"` // of ip_tables: the how manieth of its chain
	Verdict string   `json:"verdict,omitempty"`
	Text    string   `json:"text,omitempty"`
	Lookups []Lookup `json:"lookups,omitempty"`
}

// Lookup is what a rule asked of a set or map, asked again afterwards.
type Lookup struct {
	Set   string `json:"set"`
	Key   string `json:"key"`
	Found bool   `json:"found"`
	Data  string `json:"data,omitempty"`
	Drawn bool   `json:"drawn,omitempty"` // by lot: inferred from the packet's new destination
}

// Connection is an entry of a node's connection tracking.
type Connection struct {
	Site     string         `json:"site"`
	ID       uint32         `json:"id"`
	OrigSrc  netip.AddrPort `json:"origSrc"`
	OrigDst  netip.AddrPort `json:"origDst"`
	ReplySrc netip.AddrPort `json:"replySrc"`
	ReplyDst netip.AddrPort `json:"replyDst"`
	Status   uint32         `json:"status"`
	Words    []string       `json:"words,omitempty"` // of the status: "seen reply", "assured", "SNAT", "DNAT"
}

// Route is a routing decision that the packets met, asked for afterwards.
type Route struct {
	Site  string     `json:"site"`
	Dst   netip.Addr `json:"dst"`
	Src   netip.Addr `json:"src"`
	In    string     `json:"in,omitempty"` // the device by which the packet came
	Mark  uint32     `json:"mark,omitempty"`
	Kind  string     `json:"kind,omitempty"` // "unicast", "local", "blackhole" …
	Via   netip.Addr `json:"via,omitzero"`
	Out   string     `json:"out,omitempty"`
	Entry string     `json:"entry,omitempty"` // the entry that matched: a prefix, or "default"
	Table int        `json:"table,omitempty"`
	Error string     `json:"error,omitempty"` // there is no way
}

// Counter is a counter of a namespace's kernel that moved meanwhile, or the packets that a rule of ip_tables counted.
type Counter struct {
	Site string `json:"site"`
	Name string `json:"name"`
	By   int64  `json:"by"`
	Text string `json:"text,omitempty"` // of the rule
}

// Missing is evidence that could not be had.
type Missing struct {
	Site string `json:"site,omitempty"`
	What string `json:"what"`
	Why  string `json:"why"`
}

// Tally counts, and says how long things took.
type Tally struct {
	Frames  int           `json:"frames"` // of the flow, at all devices
	Devices int           `json:"devices"`
	Events  int           `json:"events"` // of all traces
	Arm     time.Duration `json:"arm"`
	Flow    time.Duration `json:"flow"`
	Quiet   time.Duration `json:"quiet"`
	Disarm  time.Duration `json:"disarm"`
	Ask     time.Duration `json:"ask"` // texts, elements, routes, memory
}

// WritePcapng writes the captured packets of the flow, an interface for each device and comments that say which packet it is. It
// has nothing to write for evidence that was read from a file.
func (e *Evidence) WritePcapng(w io.Writer) error { return capture.Write(w, e.hops, e.records) }
