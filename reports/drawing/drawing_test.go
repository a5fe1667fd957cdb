package drawing

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
)

// small has a node with a pod, a client, a Service that leads to the pod, and a path from the client to it. Every text of it
// is of the given kind.
func small(text func(string) string) *Diagram {
	return &Diagram{
		Title: text("title"), State: text("state"), About: text("about"),
		Boxes: []Box{
			{ID: "service/web", Kind: Service, Title: text("service/web"), Note: text("10.0.0.1"), Tags: []string{text("NodePort")}, Facts: []Fact{
				{Name: text("port"), Value: text("80")}, {Name: text("alone")}, {Name: text("no endpoint"), Warn: true}, {Name: "", Value: text("value")}}},
			{ID: "node/n", Kind: Node, Title: text("node/n"), Note: text("192.0.2.1"), Tags: []string{text("entry"), text("deleted")}},
			{ID: "pod/a", Kind: Pod, In: "node/n", Title: text("pod/a"), Note: text("10.1.0.1"), Own: true},
			{ID: "pod/b", Kind: Pod, In: "node/n", Title: text("pod/b"), Faint: true, Loose: true},
			{ID: "client/c", Kind: Client, Title: text("client/c"), Note: text("203.0.113.1")},
			{ID: "address/x", Kind: Address, Title: text("10.9.9.9"), Facts: []Fact{{Name: text("nobody"), Warn: true}}},
			{ID: "underlay", Kind: Underlay, Title: "underlay"},
		},
		Links: []Link{
			{From: "service/web", To: "pod/a", Text: text("web:80 → 8080/TCP")},
			{From: "service/web", To: "node/n", Text: text("web:80 → 80/TCP"), State: Draining, Note: text("nobody listens")},
			{From: "service/web", To: "address/x", Text: text("web:80 → 1/TCP"), State: Unused},
		},
		Path: &Path{
			Title: text("client/c → service/web:80"), Verdict: text("answered"), Asked: "service/web",
			Stops: []Stop{{At: "client/c", Title: text("calls"), Text: []string{text("a → b")}}, {At: "node/n", Title: text("translates"), Bad: true},
				{At: "node/n", Title: text("again")}, {At: "pod/a", Title: text("answers")}},
			Ways:  []Way{{Through: []string{"client/c", "underlay", "node/n", "pod/a"}}},
			Notes: []string{text("note")},
		},
	}
}

func same(text string) string { return text }

// hostile are texts that might break out, or need more room than there is.
var hostile = map[string]func(string) string{
	"as it is": same,
	"markup":   func(s string) string { return `<script>alert("` + s + `")</script> & ]]> --> "'` + "`%%{{}}#35;\\n\\" },
	"long":     func(s string) string { return strings.Repeat("W", 253) + s },
	"words":    func(s string) string { return strings.Repeat("many words, ", 30) + s },
	"wide":     func(s string) string { return strings.Repeat("漢字🎉", 40) + s },
	"control":  func(s string) string { return "\x00\x1b\u202e\xff\n\t" + s },
	"empty":    func(string) string { return "" },
}

// Whatever the texts are, nothing overlaps, and the SVG is XML without elements that they would have made.
func TestHostile(t *testing.T) {
	for name, text := range hostile {
		d := small(text)
		if name != "empty" { // boxes must have names to be told apart
			for _, width := range []float64{LeastWidth, 390, isNarrow, 960, 2000} {
				if flaws := Flaws(d, width); len(flaws) > 0 {
					t.Errorf("%s, %v wide: %s", name, width, strings.Join(flaws, "\n\t"))
				}
			}
		}
		for _, sheets := range []Sheets{{}, {Width: 500, ID: `x"y`}} {
			svg := SVG(d, sheets)
			if err := wellFormed(svg); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func wellFormed(svg string) error {
	in := xml.NewDecoder(strings.NewReader(svg))
	ids := map[string]bool{}
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if !strings.Contains(" svg title desc style g rect path circle text ", " "+e.Name.Local+" ") {
			return fmt.Errorf("an element <%s>", e.Name.Local)
		}
		for _, a := range e.Attr {
			switch {
			case strings.HasPrefix(a.Name.Local, "on") || strings.HasSuffix(a.Name.Local, "href"):
				return fmt.Errorf("an attribute %s", a.Name.Local)
			case a.Name.Local == "id" && ids[a.Value]:
				return fmt.Errorf("two ids %q", a.Value)
			case a.Name.Local == "id":
				ids[a.Value] = true
			}
		}
	}
}

// The SVG needs nothing from elsewhere, and says what it is in words.
func TestSelfContained(t *testing.T) {
	svg := SVG(small(same), Sheets{})
	for _, what := range []string{"url(", "@import", "@font-face", "<script", "<image", "<use", "<foreignObject"} {
		if strings.Contains(svg, what) {
			t.Errorf("it has %s", what)
		}
	}
	if links := regexp.MustCompile(`https?://[^"]*`).FindAllString(svg, -1); len(links) != 1 || links[0] != "http://www.w3.org/2000/svg" {
		t.Errorf("it names %q", links)
	}
	for _, what := range []string{`role="img"`, `<title id="drawing-title">title, state: client/c → service/web:80</title>`, "endpoint of web:80 → 8080/TCP, ready",
		"web:80 → 1/TCP, not ready", "2) translates.", "prefers-color-scheme:dark", "@media screen"} {
		if !strings.Contains(svg, what) {
			t.Errorf("it has no %s", what)
		}
	}
	if again := SVG(small(same), Sheets{}); again != svg {
		t.Error("it is another the second time")
	}
}

// In flowcharts and graphs a text stays one text.
func TestQuoted(t *testing.T) {
	for name, text := range hostile {
		d := small(text)
		for _, line := range strings.Split(mermaid(d), "\n") {
			if n := strings.Count(line, `"`); n%2 != 0 && !strings.HasPrefix(line, "  acc") || n > 2 && !strings.HasPrefix(line, "%%{init") {
				t.Errorf("%s: a flowchart's line with %d quotes: %s", name, n, line)
			}
			if strings.Contains(line, "<script") {
				t.Errorf("%s: markup in %s", name, line)
			}
		}
		unquoted := regexp.MustCompile(`"(\\.|[^"\\])*"`).ReplaceAllString(dot(d), "")
		if strings.ContainsAny(unquoted, "\"\\\x00") || strings.Count(unquoted, "{") != strings.Count(unquoted, "}") {
			t.Errorf("%s: a graph's strings end elsewhere: %s", name, unquoted)
		}
	}
}

// What cannot be drawn is told.
func TestCheck(t *testing.T) {
	for want, spoil := range map[string]func(d *Diagram){
		`draw: there are two boxes "pod/a"`: func(d *Diagram) { d.Boxes[3].ID = "pod/a" },
		`draw: pod/a is in no node`:         func(d *Diagram) { d.Boxes[2].In = "client/c" },
		`draw: there are 2 underlays`:       func(d *Diagram) { d.Boxes[5].Kind = Underlay; d.Links = nil },
		`draw: a link from "service/web" to "pod/z"; it is from a Service to a place`: func(d *Diagram) { d.Links[0].To = "pod/z" },
		`draw: a link from "pod/a" to "pod/a"; it is from a Service to a place`:       func(d *Diagram) { d.Links[0].From = "pod/a" },
		`draw: a stop at "underlay", which is no node, pod or client`:                 func(d *Diagram) { d.Path.Stops[0].At = "underlay" },
		`draw: a way without any place`:                                               func(d *Diagram) { d.Path.Ways[0].Through = nil },
		`draw: a way through "pod/z", which is not there`:                             func(d *Diagram) { d.Path.Ways[0].Through[3] = "pod/z" },
		`draw: a way from client/c to node/n, between which there is no wire`:         func(d *Diagram) { d.Path.Ways[0].Through = []string{"client/c", "node/n"} },
		`draw: a way through service/web, which is no place`:                          func(d *Diagram) { d.Path.Ways[0].Through = []string{"service/web"} },
		`draw: unknown format "png"; there are svg, mermaid, dot`:                     nil,
	} {
		d, format := small(same), "svg"
		if spoil == nil {
			format = "png"
		} else {
			spoil(d)
		}
		if err := Write(io.Discard, d, format, Sheets{}); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Flaws sees what it is to see.
func TestFlaws(t *testing.T) {
	for want, add := range map[string]func(s *sheet){
		"leaves the sheet":       func(s *sheet) { s.areas[0].x = s.w },
		"overlap":                func(s *sheet) { s.areas[0].x -= 150 },
		"leaves \"service/web\"": func(s *sheet) { move(s, "service/web", 200) },
		"a path runs through": func(s *sheet) {
			s.lines = append(s.lines, line{"path", []point{{0, s.texts[0].y - 2}, {s.w, s.texts[0].y - 2}}, false})
		},
		"is askew":         func(s *sheet) { s.lines = append(s.lines, line{"path", []point{{0, 0}, {1, 1}}, false}) },
		"is over a kernel": func(s *sheet) { move(s, "node/n", 420) },
		"number 1 is over": func(s *sheet) { s.marks[0].x, s.marks[0].y = s.texts[0].x, s.texts[0].y },
		"number 9 is over another": func(s *sheet) {
			m := s.marks[0]
			m.number = "9"
			s.marks = append(s.marks, m)
		},
	} {
		d := small(same)
		s := d.lay(960)
		if flaws := s.flaws(d); len(flaws) > 0 {
			t.Fatal(flaws)
		}
		add(s)
		if flaws := strings.Join(s.flaws(d), "\n"); !strings.Contains(flaws, want) {
			t.Errorf("it does not say %q: %s", want, flaws)
		}
	}
}

// move puts the first text of a box further right.
func move(s *sheet, in string, by float64) {
	for i := range s.texts {
		if s.texts[i].in == in {
			s.texts[i].x += by
			return
		}
	}
}

func TestWrap(t *testing.T) {
	f := font{"", 10, mono} // 6.02 each
	for _, tt := range []struct {
		text  string
		width float64
		want  string
	}{
		{"", 100, ""},
		{"one two", 100, "one two"},
		{"one two", 19, "one|two"},
		{"abcdefgh", 19, "abc|def|gh"},
		{"ab abcdefgh", 19, "ab|abc|def|gh"},
		{"10.0.0.0/8,10.1.0.0/8", 70, "10.0.0.0/8,|10.1.0.0/8"},
		{"äöü", 1, "ä|ö|ü"},
		{"x", 0, "x"},
		{"0123456789", 60.1, "012345678|9"},
	} {
		if got := strings.Join(f.wrap(tt.text, tt.width), "|"); got != tt.want {
			t.Errorf("%q in %v: got %q, want %q", tt.text, tt.width, got, tt.want)
		}
	}
}
