package oracle

import (
	"net/netip"

	"svclab/proxycore/cluster"
)

// Mutants in this file remember the clients of session affinity wrongly.
var mutantsOfClients = []Mutant{
	{Name: "counts-from-the-first", Bug: "the timeout of session affinity is counted from the client's first call, not its latest", Breaks: []string{"AFF-2"},
		Scenario: "affinity-timeout", Sentence: "and stays with it until it has not called for",
		rule: "a client stays with its endpoint", spoil: where("AFF-1", func(q *question) {
			if first := q.pin.uses[0]; q.sent.Sub(first.sent) > q.front.sticky {
				q.choose(q.pool().endpoints)
			}
		})},
	{Name: "affinity-never-ends", Bug: "session affinity that was switched off goes on", Breaks: []string{"AFF-3"},
		Scenario: "affinity-switched", Sentence: "never answered, though its share is",
		misread: stickyForEver},
	{Name: "forgets-between-addresses", Bug: "a client that calls the Service by another address is forgotten at the first", Breaks: []string{"AFF-4"},
		Scenario: "affinity-fronts", Sentence: "and stays with it until it has not called for",
		rule: "a client stays with its endpoint", spoil: forgetWhen(func(q *question) (whose, what any) { return q.clientAt(q.front.port, q.translates), q.flow.To })},
	{Name: "forgets-between-ports", Bug: "a client that calls another port of the Service is forgotten at the first", Breaks: []string{"AFF-5"},
		Scenario: "affinity-fronts", Sentence: "and stays with it until it has not called for",
		rule: "a client stays with its endpoint", spoil: forgetWhen(func(q *question) (whose, what any) { return q.clientAt(0, q.translates), q.front.port })},
	{Name: "stays-with-the-removed", Bug: "a client stays with its endpoint when that is removed", Breaks: []string{"AFF-6"},
		Scenario: "affinity", Sentence: "it moves to another",
		rule: "a client stays with its endpoint", spoil: where("AFF-6", func(q *question) {
			servers, _, _ := q.pin.holders(q.sent, q.until, q.front.sticky)
			q.choose(servers)
		})},
	{Name: "stays-with-the-leaving", Bug: "a client stays with its endpoint when that terminates, and others are ready", Breaks: []string{"AFF-7"},
		Scenario: "affinity-leaving", Sentence: "a terminating endpoint of default/web:80, which has ready ones",
		rule: "a client stays with its endpoint", spoil: where("AFF-6", func(q *question) {
			servers, _, _ := q.pin.holders(q.sent, q.until, q.front.sticky)
			for _, e := range q.front.all {
				if e.AddrPort == servers[0] && e.terminating && e.serving {
					q.choose(servers[:1])
				}
			}
		})},
	{Name: "forgets-between-nodes", Bug: "a client that enters by another node is forgotten at the first", Breaks: []string{"AFF-8"},
		Scenario: "affinity-fronts", Sentence: "and stays with it until it has not called for",
		rule: "a client stays with its endpoint", spoil: forgetWhen(func(q *question) (whose, what any) { return q.clientAt(q.front.port, ""), q.translates })},
	{Name: "forgets-at-every-change", Bug: "any change rewrites the rules of all Services, and clients are forgotten", Breaks: []string{"LIFE-5"},
		Scenario: "affinity-others", Sentence: "and stays with it until it has not called for",
		rule: "a client stays with its endpoint", spoil: forgetAtChange},
}

// client is whom a mutant takes for one client.
type client struct {
	addr    netip.Addr
	service cluster.Key
	port    uint16
	node    string
}

func (q *question) clientAt(port uint16, node string) client {
	return client{q.self, q.service.Key, port, node}
}

// forgetWhen lets the choice be free again when what a client asks for is another than the last time.
func forgetWhen(of func(q *question) (whose, what any)) func() func(*question, func(*question) (Reason, bool)) (Reason, bool) {
	return func() func(*question, func(*question) (Reason, bool)) (Reason, bool) {
		last := map[any]any{}
		return func(q *question, was func(*question) (Reason, bool)) (Reason, bool) {
			why, applies := was(q)
			if q.front == nil || q.front.sticky == 0 {
				return why, applies
			}
			whose, what := of(q)
			if before, ok := last[whose]; applies && ok && before != what {
				q.choose(q.pool().endpoints)
			}
			last[whose] = what
			return why, applies
		}
	}
}

// forgetAtChange lets the choices be free again that were made in an earlier state.
func forgetAtChange() func(*question, func(*question) (Reason, bool)) (Reason, bool) {
	in := map[pinKey]*facts{}
	return func(q *question, was func(*question) (Reason, bool)) (Reason, bool) {
		why, applies := was(q)
		if q.front == nil || q.front.sticky == 0 {
			return why, applies
		}
		k := q.pinKey()
		if before := in[k]; applies && before != nil && before != q.h.last {
			q.choose(q.pool().endpoints)
		}
		in[k] = q.h.last
		return why, applies
	}
}
