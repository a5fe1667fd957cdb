package main

import (
	"hash/fnv"
	"strconv"

	"k8s.io/apimachinery/pkg/labels"

	"svclab/sim/engine"
	"svclab/sim/proxies"
	"svclab/sim/scenario"
)

// testCase is one scenario variant on one proxy, told as the file tells it or gone through in another way.
type testCase struct {
	way      *engine.Expander // nil: as the file tells it
	scenario *scenario.Scenario
	proxy    proxies.Proxy
}

// id is the case's name, which --run, --skip and --shard go by.
func (t testCase) id() string {
	variant := string(t.scenario.Family)
	if t.way != nil {
		variant += "+" + t.way.Name
	}
	return t.scenario.Name + "/" + variant + "/" + t.proxy.Name
}

// selection is which of the cases are wanted.
type selection struct {
	run, skip pattern
	labels    selector
	shard     shard
}

func (s *selection) wants(t testCase) bool {
	name := t.id()
	return s.labels.has(t.scenario.Labels) &&
		(s.run.Regexp == nil || s.run.MatchString(name)) &&
		(s.skip.Regexp == nil || !s.skip.MatchString(name)) &&
		s.shard.has(name)
}

// has goes by the name alone: which other cases there are does not move a case into another shard.
func (s shard) has(name string) bool {
	if s.n == 0 {
		return true
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	return mix(h.Sum64())%s.n == s.i-1
}

// selector is a flag that takes a label selector as kubectl does: "area=basics,!slow".
type selector struct{ labels.Selector }

func (s *selector) Type() string { return "selector" }

func (s *selector) String() string {
	if s.Selector == nil {
		return ""
	}
	return s.Selector.String()
}

func (s *selector) Set(text string) (err error) {
	s.Selector, err = labels.Parse(text)
	return err
}

func (s selector) has(l map[string]string) bool { return s.Selector == nil || s.Matches(labels.Set(l)) }

// mix spreads a hash over all its bits (the finalizer of MurmurHash3): the last bits of FNV-1a follow the last bits of
// the text, and the last words of our names are few.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// explain says which selection left nothing.
func (s *selection) explain() string {
	text := "nothing to run: no case matches"
	if s.labels.Selector != nil {
		text += " --selector " + strconv.Quote(s.labels.String())
	}
	if s.run.Regexp != nil {
		text += " --run " + strconv.Quote(s.run.String())
	}
	if s.skip.Regexp != nil {
		text += " --skip " + strconv.Quote(s.skip.String())
	}
	if s.shard.n > 0 {
		text += " --shard " + s.shard.String()
	}
	return text
}

// ways are how each scenario is gone through: as its file tells it, and with --expand by every Expander.
func (f *runFlags) ways() []*engine.Expander {
	all := []*engine.Expander{nil}
	if f.expand {
		for i := range engine.Expanders {
			all = append(all, &engine.Expanders[i])
		}
	}
	return all
}
