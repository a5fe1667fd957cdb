// Package tell has the story of one flow, ready to be read: what became of it, its way there and back, hop by hop, the rules that
// it met, what connection tracking remembers, and whether it should have been so. It writes the story as text, JSON, Markdown or
// a page, and knows neither kernel nor cluster.
package tell

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Story is everything that is told of one flow. Its sentences have their full stops.
type Story struct {
	SchemaVersion int       `json:"schemaVersion"` // 1
	Title         string    `json:"title"`         // "pod/client → service/myservice:80"
	Proxy         string    `json:"proxy"`
	File          string    `json:"file,omitempty"`
	State         string    `json:"state,omitempty"` // "the state at the start"
	Notes         []string  `json:"notes,omitempty"` // what is special about how it came to be
	Outcome       string    `json:"outcome"`         // the word of it: "answered"
	Verdict       string    `json:"verdict"`         // in one or two sentences
	Facts         []Fact    `json:"facts"`
	Ways          []Way     `json:"ways"`
	More          string    `json:"more,omitempty"` // of the packets whose ways are not told
	Memory        []Memory  `json:"memory"`
	MemoryWords   []string  `json:"memoryWords,omitempty"`
	Judgement     Judgement `json:"judgement"`
	Evidence      []string  `json:"evidence"` // what it was made of
	Missing       []string  `json:"missing"`  // what could not be had
}

// Fact is a line of the summary: "You asked for", and what.
type Fact struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Way is a packet's.
type Way struct {
	Name   string `json:"name"`   // "THE WAY THERE"
	Packet string `json:"packet"` // "SYN, IP id 3404, seq 1882253864"
	Steps  []Step `json:"steps"`
}

// Mark is what kind of step it is.
type Mark string

// A Plain step shows where a packet is; after Rewritten it has another address; at an Ended one it went no further.
const (
	Plain     Mark = ""
	Rewritten Mark = "rewritten"
	Ended     Mark = "ended"
)

// Step is a place on a packet's way, with its addresses as seen there.
type Step struct {
	Number int           `json:"number,omitempty"` // none where it is the outcome of the step before
	Mark   Mark          `json:"mark,omitempty"`
	Where  string        `json:"where"` // "node-1"
	At     string        `json:"at"`    // "eth0 out", "prerouting"
	Time   time.Duration `json:"timeNanoseconds,omitempty"`
	Timed  bool          `json:"-"`
	Source string        `json:"source,omitempty"`
	Dest   string        `json:"destination,omitempty"`
	What   string        `json:"what,omitempty"`
	Rules  []Rule        `json:"rules,omitempty"`
	Words  []string      `json:"words,omitempty"` // for who does not know it yet
}

// Rule is a rule that the packet met.
type Rule struct {
	Where   string    `json:"where"` // "ip svclab dispatch, handle 52"
	Text    string    `json:"text"`  // as the kernel shows it
	Means   string    `json:"means,omitempty"`
	Objects []string  `json:"objects,omitempty"` // "Service default/myservice, port 80 (shop.yaml:47)"
	Lookups []Element `json:"lookups,omitempty"`
	Acted   bool      `json:"acted,omitempty"` // it is the one that rewrote, dropped or rejected
}

// Element is what a rule was told by a set or map.
type Element struct {
	Text  string `json:"text"` // "services { 172.20.127.114 . tcp . 80 : 0x1000002 }"
	Means string `json:"means,omitempty"`
}

// Memory is an entry of connection tracking.
type Memory struct {
	Node     string `json:"node"`
	ID       uint32 `json:"id"`
	What     string `json:"what"` // "DNAT, assured"
	Original Tuple  `json:"original"`
	Reply    Tuple  `json:"reply"`
	NAT      bool   `json:"nat"`
}

// Tuple is a source and a destination.
type Tuple struct {
	Source string `json:"source"`
	Dest   string `json:"destination"`
}

// Judgement is what should have been.
type Judgement struct {
	Judged   bool     `json:"judged"`
	Right    bool     `json:"right"`
	Text     string   `json:"text"`
	Expected string   `json:"expected,omitempty"`
	Reasons  []Reason `json:"reasons"`
}

// Reason is a row of the specification, and what it means here.
type Reason struct {
	Row  string `json:"row"`
	Text string `json:"text"`
	Says string `json:"says,omitempty"` // the row itself
}

// Formats are those in which a story can be written.
var Formats = []string{"text", "json", "markdown", "html"}

// Options are for text. The zero value works.
type Options struct {
	Color bool // with escape sequences, for a terminal
}

// Write writes the story in one of Formats.
func Write(w io.Writer, format string, s *Story, o Options) error {
	switch format {
	case "text":
		return Text(w, s, o)
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(s)
	case "markdown":
		return Markdown(w, s)
	case "html":
		return HTML(w, s)
	}
	return fmt.Errorf("there is no format %q; there are %v", format, Formats)
}
