package oracle

import (
	"net/netip"
	"slices"
)

// WhySource is the reason, in words, for what that server may see as source; empty when it may not answer.
func (a Answer) WhySource(server netip.AddrPort) string {
	for _, c := range a.Cases {
		if c.Server == server {
			return c.why
		}
	}
	return ""
}

// Known reports whether the oracle has that row of the specification.
func Known(row string) bool {
	return slices.ContainsFunc(Rows, func(r Row) bool { return r.ID == row })
}
