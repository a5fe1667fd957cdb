// Package verdict is the vocabulary of results: what was judged, how it ended, and why. It has no behaviour beyond
// counting and naming; the formats in package reports and the engine share it.
package verdict

import (
	"fmt"
	"time"
)

// Verdict is the end of a case.
type Verdict uint8

// Pass; Fail: the proxy is wrong; Broken: the lab is wrong, nothing is known of the proxy; Skip: this machine lacks a
// power, and the proof is in Why; Known: the proxy is wrong in a way that is known of it, and nothing else is wrong.
const (
	Pass Verdict = iota
	Fail
	Broken
	Skip
	Known
)

// Verdicts are all, in the order in which they are counted.
var Verdicts = [...]Verdict{Pass, Fail, Broken, Skip, Known}

var words = [...]string{"pass", "fail", "broken", "skip", "known"}

// String is the lower-case word that JSON reports use.
func (v Verdict) String() string { return words[v] }

// MarshalText makes a Verdict its word.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (v *Verdict) UnmarshalText(b []byte) error {
	for i, w := range words {
		if string(b) == w {
			*v = Verdict(i)
			return nil
		}
	}
	return fmt.Errorf("verdict %q is none of %v", b, words)
}

// Worse returns the worse of two verdicts: Broken beats Fail beats Known beats Skip beats Pass.
func Worse(a, b Verdict) Verdict {
	if rank(b) > rank(a) {
		return b
	}
	return a
}

func rank(v Verdict) int { return [...]int{Pass: 0, Skip: 1, Known: 2, Fail: 3, Broken: 4}[v] }

// Case is one scenario in one variant on one proxy.
type Case struct {
	Scenario string        `json:"scenario"`
	About    string        `json:"about,omitempty"`
	File     string        `json:"file"`
	Variant  string        `json:"variant"` // "ipv4" or "ipv6"
	Proxy    string        `json:"proxy"`
	Verdict  Verdict       `json:"verdict"`
	Why      string        `json:"why,omitempty"`   // one sentence, for everything but Pass
	Known    string        `json:"known,omitempty"` // of a known disagreement: where it is told, and why
	Steps    []Step        `json:"steps,omitempty"`
	Covers   []string      `json:"covers,omitempty"`
	Seed     uint64        `json:"seed"`
	Rerun    string        `json:"rerun,omitempty"` // the command that repeats this case alone
	Took     time.Duration `json:"tookNanoseconds"`
	// Artifacts are the files of a case that did not pass: name and content, written by reports.
	Artifacts map[string]string `json:"-"`
}

// ID is stable over runs: "myservice/ipv4/nftables".
func (c *Case) ID() string { return c.Scenario + "/" + c.Variant + "/" + c.Proxy }

// Line is where in the file the case went wrong: the first step that did not pass, or 1.
func (c *Case) Line() int {
	for _, s := range c.Steps {
		if s.Verdict != Pass && s.Line > 0 {
			return s.Line
		}
	}
	return 1
}

// Step is one step of a scenario.
type Step struct {
	Line    int           `json:"line"`
	Kind    string        `json:"kind"` // "probe" or "change"
	Text    string        `json:"text"` // the step in a few words
	Verdict Verdict       `json:"verdict"`
	Why     string        `json:"why,omitempty"`
	Flows   []Flows       `json:"flows,omitempty"`
	Notes   []string      `json:"notes,omitempty"` // "settled 1.2 ms after the change", "200 changes"
	Took    time.Duration `json:"tookNanoseconds"`
}

// Flows is what one pair of client and target had to show in one step: one line of the console.
type Flows struct {
	From    string   `json:"from"`
	To      string   `json:"to"`      // as the file says: "service/myservice:80"
	Address string   `json:"address"` // "172.20.127.114:80/TCP"
	Sent    int      `json:"sent"`    // flows judged
	Answers []Answer `json:"answers"` // by whom and how often, the most frequent first
	Sources []string `json:"sources"` // whom the servers saw: "kept", "node-1", or an address
	Expect  string   `json:"expect"`  // in words, what was permitted
	Because []string `json:"because"` // in words, why: one a rule, with its row
	Wrong   []Wrong  `json:"wrong"`   // the first few wrong ones
	Wrongs  int      `json:"wrongs"`  // how many were wrong
	Fair    string   `json:"fair,omitempty"`
	Story   []string `json:"story,omitempty"` // with -v: how an address became another, from conntrack
}

// Answer is one outcome and how often it was seen.
type Answer struct {
	Who   string `json:"who"` // "pod/web-1", or an outcome: "refused"
	Count int    `json:"count"`
}

// Wrong is one flow that was not permitted.
type Wrong struct {
	Flow string        `json:"flow"` // "10.34.188.9:41234 → 172.20.127.114:80/TCP"
	Saw  string        `json:"saw"`
	Why  string        `json:"why"`
	At   time.Duration `json:"atNanoseconds"` // after the last change
}

// Run is all cases of one invocation.
type Run struct {
	SchemaVersion int           `json:"schemaVersion"` // 1
	Seed          uint64        `json:"seed"`
	Started       time.Time     `json:"started"`
	Took          time.Duration `json:"tookNanoseconds"`
	Command       []string      `json:"command"`
	Cases         []Case        `json:"cases"`
}

// Counts has a number for each verdict.
type Counts [len(Verdicts)]int

// Tally counts cases by verdict.
func (r *Run) Tally() (n Counts) {
	for i := range r.Cases {
		n[r.Cases[i].Verdict]++
	}
	return n
}

// ExitCode is what the process should end with: 0 all judged passed or failed as known, 1 a check failed, 3 nothing was selected,
// 4 all was skipped, 5 the lab broke. 5 beats 1 beats 4 beats 3.
func (r *Run) ExitCode() int {
	n := r.Tally()
	switch {
	case n[Broken] > 0:
		return 5
	case n[Fail] > 0:
		return 1
	case len(r.Cases) == 0:
		return 3
	case n[Pass]+n[Known] == 0:
		return 4
	}
	return 0
}
