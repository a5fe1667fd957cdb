package tell

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// nasty is what formats have to escape.
const nasty = "100% | <b>`x`</b>, a: \"b\" & *c*_d_ [e](f) \\"

func nastyStory() *Story {
	return &Story{
		SchemaVersion: 1, Title: nasty, Proxy: nasty, File: nasty, State: nasty, Notes: []string{nasty}, Verdict: nasty, Facts: []Fact{{nasty, nasty}},
		Ways: []Way{{Name: "THE WAY THERE", Packet: nasty, Steps: []Step{
			{Number: 1, Where: nasty, At: nasty, Timed: true, Source: nasty, Dest: nasty, What: nasty, Words: []string{nasty}},
			{Mark: Rewritten, Where: nasty, At: nasty, What: nasty, Rules: []Rule{{Where: nasty, Text: nasty, Means: nasty, Objects: []string{nasty}, Lookups: []Element{{nasty, nasty}}, Acted: true}}},
		}}},
		More: nasty, Memory: []Memory{{Node: nasty, What: nasty, NAT: true, Original: Tuple{nasty, nasty}}}, MemoryWords: []string{nasty},
		Judgement: Judgement{Judged: true, Text: nasty, Expected: nasty, Reasons: []Reason{{nasty, nasty, nasty}}}, Evidence: []string{nasty}, Missing: []string{nasty},
	}
}

func written(t *testing.T, format string, s *Story, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, format, s, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestUnknownFormat(t *testing.T) {
	if err := Write(io.Discard, "pdf", &Story{}, Options{}); err == nil || err.Error() != `there is no format "pdf"; there are [text json markdown html]` {
		t.Error(err)
	}
}

// JSON says the same when it is read back.
func TestJSON(t *testing.T) {
	text := written(t, "json", nastyStory(), Options{})
	var s Story
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		t.Fatal(err)
	}
	if again := written(t, "json", &s, Options{}); again != text {
		t.Errorf("read back it is %s", again)
	}
}

// A page is well-formed, loads nothing, and has every text as it is.
func TestHTML(t *testing.T) {
	text := written(t, "html", nastyStory(), Options{})
	in := xml.NewDecoder(strings.NewReader(text))
	said := strings.Builder{}
	for {
		token, err := in.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.CharData:
			said.Write(e)
		case xml.StartElement:
			if e.Name.Local == "b" || e.Name.Local == "script" || e.Name.Local == "link" || e.Name.Local == "img" {
				t.Errorf("an element %s", e.Name.Local)
			}
			for _, a := range e.Attr {
				if a.Name.Local == "src" || a.Name.Local == "href" {
					t.Errorf("it loads %s", a.Value)
				}
			}
		}
	}
	if n := strings.Count(said.String(), nasty); n < 25 {
		t.Errorf("the text is there %d times", n)
	}
}

// A cell of a table ends where it should, and no text becomes an element.
func TestMarkdown(t *testing.T) {
	text := written(t, "markdown", nastyStory(), Options{})
	for line := range strings.Lines(text) {
		if bars := strings.Count(line, "|") - strings.Count(line, "\\|"); strings.HasPrefix(line, "|") && bars != 8 && bars != 6 {
			t.Errorf("%d bars: %s", bars, line)
		}
		outside := ""
		for i, part := range strings.Split(line, "``") {
			if i%2 == 0 {
				outside += part
			}
		}
		if strings.Contains(outside, "<b>") {
			t.Errorf("not escaped: %s", line)
		}
	}
}

// Text has colours when it is asked for them only, and they take no room.
func TestColors(t *testing.T) {
	s := nastyStory()
	text, painted := written(t, "text", s, Options{}), written(t, "text", s, Options{Color: true})
	if strings.Contains(text, "\x1b") || !strings.Contains(painted, "\x1b[1;31m") {
		t.Errorf("%q", painted)
	}
	for painted != "" {
		before, after, found := strings.Cut(painted, "\x1b[")
		if !strings.HasPrefix(text, before) {
			t.Fatalf("%q is not the beginning of %q", before, text)
		}
		text = text[len(before):]
		painted = ""
		if found {
			_, painted, _ = strings.Cut(after, "m")
		}
	}
}

func TestWrap(t *testing.T) {
	for _, line := range wrap(strings.Repeat("wörd ", 40)+strings.Repeat("x", 50), 30) {
		if n := utf8.RuneCountInString(line); n > 30 && n != 50 {
			t.Errorf("%d: %s", n, line)
		}
	}
}
