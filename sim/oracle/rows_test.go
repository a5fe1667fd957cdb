package oracle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The specification's rows, areas A to N and M-1 to M-17, as numbers: how many each area has.
var areas = []struct {
	name string
	rows int
}{
	{"CIP", 30}, {"HP", 6}, {"NP", 19}, {"EXT", 8}, {"LB", 21}, {"POL", 16}, {"TERM", 13}, {"NE", 9}, {"AFF", 9},
	{"TOPO", 12}, {"FAM", 6}, {"SRC", 8}, {"CT", 15}, {"LIFE", 18}, {"M", 17},
}

// Every row of the specification is in exactly one of the two tables, and there is no other.
func TestEveryRowIsNamedOnce(t *testing.T) {
	var want []string
	for _, a := range areas {
		for n := range a.rows {
			want = append(want, fmt.Sprintf("%s-%d", a.name, n+1))
		}
	}
	where := map[string][]string{}
	for _, r := range Rows {
		where[r.ID] = append(where[r.ID], "Rows")
	}
	for _, r := range NotJudged {
		where[r.ID] = append(where[r.ID], "NotJudged")
		if r.Reason == "" || !strings.HasSuffix(r.Text, ".") {
			t.Errorf("row %s lacks its reason, or is no sentence: %q", r.ID, r.Text)
		}
	}
	for _, id := range want {
		if len(where[id]) != 1 {
			t.Errorf("row %s is in %v, want one of the two tables", id, where[id])
		}
	}
	for id := range where {
		if !slices.Contains(want, id) {
			t.Errorf("%s is no row of the specification", id)
		}
	}
}
