package nftables

import (
	"net/netip"
	"slices"
)

// span is an interval of addresses, both ends included.
type span struct{ from, to netip.Addr }

// spans turns prefixes of one family into intervals: sorted, and those that overlap or touch made one, because an
// interval set takes no overlap and would mistake the end of one for the start of the next.
func spans(prefixes []netip.Prefix, fam int) []span {
	var all []span
	for _, p := range prefixes {
		if familyIndex(p.Addr()) == fam {
			all = append(all, span{p.Masked().Addr(), lastOf(p)})
		}
	}
	slices.SortFunc(all, span.compare)
	var merged []span
	for _, s := range all {
		if n := len(merged); n > 0 && (!merged[n-1].to.Less(s.from) || merged[n-1].to.Next() == s.from) {
			if merged[n-1].to.Less(s.to) {
				merged[n-1].to = s.to
			}
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// missing is what of a list b lacks.
func missing(a, b []span) (out []span) {
	for _, s := range a {
		if i, found := slices.BinarySearchFunc(b, s, span.compare); !found || b[i] != s {
			out = append(out, s)
		}
	}
	return out
}

func (s span) compare(o span) int { return s.from.Compare(o.from) }

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// prefixes is the shortest list of prefixes that make up the intervals.
func prefixes(spans []span) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range spans {
		for from := s.from; from.IsValid() && !s.to.Less(from); {
			bits := 0
			for ; bits < from.BitLen(); bits++ { // the widest that begins here and does not end beyond
				p := netip.PrefixFrom(from, bits)
				if p.Masked().Addr() == from && !s.to.Less(lastOf(p)) {
					break
				}
			}
			p := netip.PrefixFrom(from, bits)
			out = append(out, p)
			from = lastOf(p).Next() // invalid after the last address there is
		}
	}
	return out
}

// boundary is an element of an interval set: where an interval begins, or the first address after one.
type boundary struct {
	at  netip.Addr
	end bool
}

// boundaries is what an interval set holds for the intervals. One that reaches the last address has no end.
func boundaries(spans []span) []boundary {
	var out []boundary
	for _, s := range spans {
		out = append(out, boundary{s.from, false})
		if after := s.to.Next(); after.IsValid() {
			out = append(out, boundary{after, true})
		}
	}
	return out
}

// between is the inverse; the kernel lists boundaries in an order of its own.
func between(marks []boundary) []span {
	slices.SortFunc(marks, func(a, b boundary) int {
		if c := a.at.Compare(b.at); c != 0 || a.end == b.end {
			return c
		} else if a.end {
			return -1
		}
		return 1
	})
	var out []span
	var open *boundary
	for i, m := range marks {
		switch {
		case !m.end:
			open = &marks[i]
		case open != nil:
			out = append(out, span{open.at, m.at.Prev()})
			open = nil
		}
	}
	if open != nil {
		out = append(out, span{open.at, lastOf(netip.PrefixFrom(open.at, 0))})
	}
	return out
}
