package evidence_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"svclab/proxycore/cluster"
	"svclab/sim/evidence"
	"svclab/sim/world"
)

var update = flag.Bool("update", false, "record the evidence in testdata anew")

// asked is one flow, and what must be in the evidence of it.
type asked struct {
	name string
	flow func(*testing.T, *rig) world.Flow
	want func(*testing.T, *rig, *evidence.Evidence)
}

func from(t *testing.T, r *rig, kind world.Kind, name string, to netip.AddrPort, proto cluster.Proto) world.Flow {
	return world.Flow{From: r.host(t, kind, name).Place, To: to, Proto: proto, Wait: 300 * time.Millisecond}
}

func (r *rig) addr(t *testing.T, kind world.Kind, name string) netip.Addr {
	return r.host(t, kind, name).Addrs[0]
}

var flows = []asked{
	{"clusterip", func(t *testing.T, r *rig) world.Flow {
		return from(t, r, world.Pod, "client", r.service(t, "myservice", 80), cluster.TCP)
	}, func(t *testing.T, r *rig, e *evidence.Evidence) {
		answered(t, r, e, 5000)
		if e.Seen.Source != e.Flow.Client {
			t.Errorf("the server saw %v, not the client %v", e.Seen.Source, e.Flow.Client)
		}
		back := packet(t, e, "SYN ACK")
		if last := back.Hops[len(back.Hops)-1]; last.Src != e.Flow.To || last.Dst != e.Flow.Client {
			t.Errorf("the answer came as %v > %v", last.Src, last.Dst)
		}
		w := walk(t, e, back, "node/node-1")
		if post := w.Hooks[len(w.Hooks)-1]; post.After == nil || post.After.Src != e.Flow.To {
			t.Errorf("the answer's source was not translated back: %+v", w.Hooks)
		}
	}},
	{"udp", func(t *testing.T, r *rig) world.Flow {
		return from(t, r, world.Pod, "client", r.service(t, "dns", 53), cluster.UDP)
	}, func(t *testing.T, r *rig, e *evidence.Evidence) {
		answered(t, r, e, 5353)
		if len(e.Packets) != 2 || e.Packets[0].Way != evidence.There || e.Packets[1].Way != evidence.Back {
			t.Errorf("packets %v", ways(e))
		}
	}},
	{"hairpin", func(t *testing.T, r *rig) world.Flow {
		return from(t, r, world.Pod, "web-1", r.service(t, "near", 80), cluster.TCP)
	}, func(t *testing.T, r *rig, e *evidence.Evidence) {
		answered(t, r, e, 5000)
		if e.Seen.Server.Addr() != e.Flow.Client.Addr() || e.Seen.Source.Addr() == e.Flow.Client.Addr() {
			t.Errorf("%v was seen as %v by %v", e.Flow.Client, e.Seen.Source, e.Seen.Server)
		}
		has(t, e, "SNAT")
		w := walk(t, e, packet(t, e, "SYN ACK"), "node/node-1")
		if w.Hooks[0].After == nil || w.Hooks[0].After.Dst != e.Flow.Client {
			t.Errorf("the answer to the masqueraded source: %+v", w.Hooks)
		}
	}},
	{"nodeport", func(t *testing.T, r *rig) world.Flow {
		return from(t, r, world.Client, "laptop", netip.AddrPortFrom(r.addr(t, world.Node, "node-1"), 30080), cluster.TCP)
	}, func(t *testing.T, r *rig, e *evidence.Evidence) {
		answered(t, r, e, 5000)
		if e.Seen.Source.Addr() != r.addr(t, world.Node, "node-1") {
			t.Errorf("the server saw %v", e.Seen.Source)
		}
		has(t, e, "SNAT")
		w := walk(t, e, packet(t, e, "SYN"), "node/node-2") // behind the masquerade
		if w.Hooks[0].Before.Src != e.Seen.Source {
			t.Errorf("node-2 saw %v", w.Hooks[0].Before.Src)
		}
	}},
	{"refused", func(t *testing.T, r *rig) world.Flow {
		return from(t, r, world.Pod, "client", r.service(t, "empty", 80), cluster.TCP)
	}, func(t *testing.T, r *rig, e *evidence.Evidence) {
		outcome(t, e, world.Refused)
		dropped(t, e, "reject", "REJECT")
		icmp := packet(t, e, "ICMP port unreachable")
		if icmp.Way != evidence.Back || icmp.End.Fate != evidence.Delivered || icmp.End.Site != "pod/client" {
			t.Errorf("the ICMP error: %+v", icmp)
		}
	}},
	{"range", func(t *testing.T, r *rig) world.Flow {
		return from(t, r, world.Client, "laptop", r.service(t, "edge", 80), cluster.TCP)
	}, func(t *testing.T, r *rig, e *evidence.Evidence) {
		outcome(t, e, world.Silent)
		dropped(t, e, "drop", "DROP")
		if len(e.Memory) != 0 {
			t.Errorf("a dropped packet is remembered: %+v", e.Memory)
		}
	}},
	{"unmatched", func(t *testing.T, r *rig) world.Flow {
		f := from(t, r, world.Pod, "client", netip.AddrPortFrom(r.addr(t, world.Pod, "web-2"), 5000), cluster.TCP)
		f.SourcePort = 41000 // none that a flow through a Service to the same pod has had: the kernel would give it another
		return f
	}, func(t *testing.T, r *rig, e *evidence.Evidence) {
		outcome(t, e, world.Answered)
		for _, w := range e.Walks {
			for _, h := range w.Hooks {
				if h.After == nil || h.Before.Dst != h.After.Dst || h.Before.Src != h.After.Src {
					t.Errorf("something was translated: %+v", h)
				}
			}
		}
	}},
	{"wrongport", func(t *testing.T, r *rig) world.Flow {
		return from(t, r, world.Pod, "client", r.service(t, "myservice", 81), cluster.TCP)
	}, func(t *testing.T, r *rig, e *evidence.Evidence) {
		if strings.Contains(r.name, "iptables") {
			outcome(t, e, world.Silent)
			if p := packet(t, e, "SYN"); p.End.Fate != evidence.Leaked || p.End.Site != "sink" {
				t.Errorf("the packet's end: %+v", p.End)
			}
			return
		}
		outcome(t, e, world.Refused)
		dropped(t, e, "reject", "REJECT")
	}},
	{"node", func(t *testing.T, r *rig) world.Flow {
		return from(t, r, world.Node, "node-1", r.service(t, "far", 80), cluster.TCP)
	}, func(t *testing.T, r *rig, e *evidence.Evidence) {
		answered(t, r, e, 5000)
		w := walk(t, e, packet(t, e, "SYN"), "node/node-1")
		if w.Hooks[0].Name != "output" || w.Hooks[0].After == nil || w.Hooks[0].After.Dst != e.Seen.Server {
			t.Errorf("the walk: %+v", w.Hooks)
		}
	}},
}

func TestOnEveryProxy(t *testing.T) {
	names := []string{"nftables", "iptables-nft", "iptables-legacy", "kube-proxy/nftables", "kube-proxy/iptables", "kube-proxy/iptables-legacy"}
	if testing.Short() {
		names = names[:3] // what kube-proxy writes is read by the same code
	}
	for _, proxy := range names {
		for _, is6 := range []bool{false, true} {
			family := map[bool]string{false: "IPv4", true: "IPv6"}[is6]
			t.Run(proxy+"/"+family, func(t *testing.T) {
				r := open(t, proxy, is6)
				for _, f := range flows {
					t.Run(f.name, func(t *testing.T) {
						e, err := evidence.Collect(t.Context(), r.lab, f.flow(t, r))
						if err != nil {
							t.Fatal(err)
						}
						f.want(t, r, e)
						complete(t, e)
						record(t, r, f.name, e)
						if t.Failed() {
							text, _ := json.MarshalIndent(e, "", "  ")
							t.Logf("%s", text)
						}
						t.Logf("%+v", e.Tally)
					})
				}
			})
		}
	}
}

// record writes the evidence down where the stories' goldens are made of it.
func record(t *testing.T, r *rig, name string, e *evidence.Evidence) {
	t.Helper()
	if !*update {
		return
	}
	text, err := written(e)
	if err != nil {
		t.Fatal(err)
	}
	if r.is6 && strings.Contains(r.name, "iptables") { // the stories differ by addresses only
		return
	}
	family := map[bool]string{false: "", true: "-ipv6"}[r.is6]
	if err := os.WriteFile(filepath.Join("testdata", strings.ReplaceAll(r.name, "/", "-")+"-"+name+family+".json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// written is JSON with a line for every packet, walk and so on.
func written(e *evidence.Evidence) ([]byte, error) {
	text, err := json.MarshalIndent(e, "", "\t")
	var b bytes.Buffer
	for line := range bytes.Lines(text) {
		short := bytes.TrimLeft(line, "\t")
		if depth := len(line) - len(short); depth > 2 || depth == 2 && bytes.ContainsAny(short[:1], "}]") {
			b.Truncate(b.Len() - 1) // goes on with the line before
		} else {
			b.Write(line[:depth])
		}
		b.Write(short)
	}
	b.WriteByte('\n')
	return b.Bytes(), err
}

// Whatever is recorded can be read back whole.
func TestRecorded(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var e evidence.Evidence
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if again, err := written(&e); err != nil || string(again) != string(text) {
			t.Errorf("%s is another after reading (%v): record it anew with -update", f, err)
		}
	}
}

func ways(e *evidence.Evidence) (list []string) {
	for _, p := range e.Packets {
		list = append(list, string(p.Way)+" "+p.What)
	}
	return list
}

func outcome(t *testing.T, e *evidence.Evidence, want world.Outcome) {
	t.Helper()
	if e.Seen.Outcome != want.String() {
		t.Errorf("it was %s, want %s", e.Seen.Outcome, want)
	}
}

func packet(t *testing.T, e *evidence.Evidence, what string) evidence.Packet {
	t.Helper()
	for _, p := range e.Packets {
		if p.What == what {
			return p
		}
	}
	t.Fatalf("no %s among %q", what, ways(e))
	return evidence.Packet{}
}

func walk(t *testing.T, e *evidence.Evidence, p evidence.Packet, site string) evidence.Walk {
	t.Helper()
	for _, h := range p.Hops {
		if h.Walk != nil && h.Site == site {
			return e.Walks[*h.Walk]
		}
	}
	t.Fatalf("%s has no walk through %s: %+v", p.What, site, p.Hops)
	return evidence.Walk{}
}

func has(t *testing.T, e *evidence.Evidence, word string) {
	t.Helper()
	for _, m := range e.Memory {
		for _, w := range m.Words {
			if w == word {
				return
			}
		}
	}
	t.Errorf("no entry says %s: %+v", word, e.Memory)
}

// answered checks what every translated and answered flow has: the rule that translated, the new destination as a difference
// between two observers, the entry with both tuples, and routes on the way.
func answered(t *testing.T, r *rig, e *evidence.Evidence, port uint16) {
	t.Helper()
	outcome(t, e, world.Answered)
	if e.Seen.Server.Port() != port || e.Seen.Peer != e.Flow.To {
		t.Errorf("server %v, peer %v", e.Seen.Server, e.Seen.Peer)
	}
	first := e.Packets[0]
	w := walk(t, e, first, "node/node-1")
	h := w.Hooks[0]
	if h.Before.Dst != e.Flow.To || h.After == nil || h.After.Dst != e.Seen.Server {
		t.Errorf("destination %v became %+v, want %v", h.Before.Dst, h.After, e.Seen.Server)
	}
	dnat := evidence.Rule{}
	for _, rule := range h.Rules {
		text := strings.ToLower(rule.Text)
		if strings.Contains(text, "dnat") && (!strings.Contains(text, "--to-destination") || strings.Contains(text, strings.ToLower(e.Seen.Server.String()))) {
			dnat = rule
		}
	}
	if dnat.Text == "" || dnat.Handle == 0 && dnat.Number == 0 {
		t.Errorf("no rule translated the destination: %+v", h.Rules)
	}
	if r.name == "nftables" {
		found := false
		for _, l := range dnat.Lookups {
			if l.Found && (l.Drawn || !strings.Contains(dnat.Text, "mod 2")) {
				found = found || l.Data == strings.Trim(e.Seen.Server.Addr().String(), "[]")+" . "+portText(port)
			}
		}
		if !found {
			t.Errorf("the element that has the endpoint is not there: %+v", dnat)
		}
	}
	memory := false
	for _, m := range e.Memory {
		memory = memory || m.Site == "node/node-1" && m.OrigSrc == e.Flow.Client && m.OrigDst == e.Flow.To && m.ReplySrc == e.Seen.Server && m.ReplyDst == e.Seen.Source && m.ID != 0
	}
	if !memory {
		t.Errorf("no entry of the flow: %+v", e.Memory)
	}
	has(t, e, "DNAT")
	if w.Track == nil {
		t.Errorf("the walk has no conntrack entry: %+v", w)
	}
	route := false
	for _, x := range e.Routes {
		route = route || x.Site == "node/node-1" && x.Dst == e.Seen.Server.Addr() && x.Out != "" && x.Entry != ""
	}
	if !route {
		t.Errorf("no route to the endpoint: %+v", e.Routes)
	}
	for _, p := range e.Packets {
		if p.End.Fate != evidence.Delivered {
			t.Errorf("%s %s: %+v", p.Way, p.What, p.End)
		}
	}
}

func portText(p uint16) string {
	return netip.AddrPortFrom(netip.IPv4Unspecified(), p).String()[len("0.0.0.0:"):]
}

// dropped checks that the first packet ended in a rule that says so.
func dropped(t *testing.T, e *evidence.Evidence, words ...string) {
	t.Helper()
	first := e.Packets[0]
	if first.End.Fate != evidence.Dropped || first.End.Rule == nil {
		t.Errorf("the packet's end: %+v", first.End)
		return
	}
	for _, w := range words {
		if strings.Contains(first.End.Rule.Text, w) {
			return
		}
	}
	t.Errorf("the rule says %q, none of %q", first.End.Rule.Text, words)
}

// complete checks that nothing is missing, and that each packet's hops are in order.
func complete(t *testing.T, e *evidence.Evidence) {
	t.Helper()
	for _, m := range e.Missing {
		t.Errorf("missing: %+v", m)
	}
	for _, p := range e.Packets {
		last := time.Duration(-1)
		for i, h := range p.Hops {
			if h.Walk != nil {
				continue
			}
			if h.At < last {
				t.Errorf("%s: hops out of order: %+v", p.What, p.Hops)
			}
			last = h.At
			if i > 0 && p.Hops[i-1].Walk == nil && p.Hops[i-1].Out == h.Out {
				t.Errorf("%s: two hops that do not follow each other: %+v, %+v", p.What, p.Hops[i-1], h)
			}
		}
	}
}
