package figures

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"svclab/reports/measure"
)

// pageOf is the page, read as strict XML: where that fails an element is not closed, or text not escaped.
type pageOf struct {
	elements map[string]int
	text     strings.Builder // of all elements but script and style
	ids      []string
	refers   []string
}

func readPage(t *testing.T, text string) *pageOf {
	t.Helper()
	p := &pageOf{elements: map[string]int{}}
	in := xml.NewDecoder(strings.NewReader(text))
	var open []string
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			return p
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			open = append(open, e.Name.Local)
			p.elements[e.Name.Local]++
			for _, a := range e.Attr {
				switch a.Name.Local {
				case "id":
					p.ids = append(p.ids, a.Value)
				case "aria-labelledby":
					p.refers = append(p.refers, strings.Fields(a.Value)...)
				case "src", "href", "style", "srcset", "action", "onclick", "onload", "onerror":
					t.Errorf("%s has the attribute %s=%q", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if !slices.Contains(open, "script") && !slices.Contains(open, "style") {
				p.text.Write(e)
			}
		}
	}
}

// The page needs nothing from elsewhere, and is well-formed, whatever is in the names.
func TestPageIsWhole(t *testing.T) {
	empty, _ := emptyRun(measure.Lab)
	runs := map[string]*measure.Run{"nasty": nastyRun(), "empty": empty}
	for name, run := range madeUp {
		runs[name] = run()
	}
	for name, r := range runs {
		t.Run(name, func(t *testing.T) {
			text := written(t, "html", r)
			if *pages != "" {
				if err := os.WriteFile(filepath.Join(*pages, name+".html"), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			p := readPage(t, text)
			if m := regexp.MustCompile(`(?i)https?:|url\(|@import|NaN|Inf\b`).FindString(text); m != "" {
				t.Errorf("the page has %q", m)
			}
			if p.elements["script"] != 1 || p.elements["style"] != 1 || p.elements["img"]+p.elements["link"]+p.elements["iframe"] > 0 {
				t.Errorf("elements %v", p.elements)
			}
			for _, id := range p.refers {
				if !slices.Contains(p.ids, id) {
					t.Errorf("no element has the id %s", id)
				}
			}
			slices.Sort(p.ids)
			if n := len(p.ids); len(slices.Compact(p.ids)) != n {
				t.Error("an id is there twice")
			}
			if p.elements["figure"] != p.elements["desc"] || p.elements["figure"] != p.elements["details"] {
				t.Errorf("%d figures, %d descriptions, %d tables of them", p.elements["figure"], p.elements["desc"], p.elements["details"])
			}
			if name != "empty" && p.elements["figure"] == 0 {
				t.Error("no figure")
			}
			if rows := len(r.Rows); strings.Count(text, "<tr>") < rows {
				t.Errorf("%d rows of tables for %d rows", strings.Count(text, "<tr>"), rows)
			}
		})
	}
	if text := written(t, "html", syncRun()); strings.Index(text, "</svg>nftables</li>") > strings.Index(text, "</svg>kube-proxy/nftables</li>") {
		t.Error("the legend is not in the order asked for")
	}
	p := readPage(t, written(t, "html", nastyRun()))
	if want := strings.ReplaceAll(nasty, "\r\n", "\n"); strings.Count(strings.ReplaceAll(p.text.String(), "\r\n", "\n"), want) < 20 {
		t.Errorf("the words of the nasty run are not on its page as they are")
	}
}
