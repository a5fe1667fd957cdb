package ruleset

import (
	"cmp"
	"io"
	"strings"
)

// DiffText writes what differs on a node as a unified diff does: what went with "-", what came with "+", below where it stands.
func DiffText(w io.Writer, node, old, now string, changes []Change) error {
	p := &printer{w: w}
	p.line("--- node %s, %s", node, old)
	p.line("+++ node %s, %s", node, now)
	for _, c := range changes {
		p.line("@@ %s @@", c.Title)
		front, where := "", ""
		for _, d := range c.Lines {
			if d.Front != front {
				p.line("   %s%s", cmp.Or(d.Front, "every front"), ofKind(d.Entry))
				front, where = d.Front, ""
			}
			if d.where != where {
				p.line("   %s", d.where)
				where = d.where
			}
			if d.Words != "" {
				p.line("%s    # %s", d.Sign, d.Words)
			}
			p.line("%s    %s", d.Sign, d.Text)
		}
	}
	return p.err
}

func ofKind(e Entry) string {
	if e.Kind == "" || strings.HasPrefix(e.Front, e.Kind) {
		return ""
	}
	return ", its " + e.Kind
}
