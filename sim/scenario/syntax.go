package scenario

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

var syntaxError = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// advice has what the parser's words mean to somebody who writes a file.
var advice = []struct{ says, means string }{
	{"found character that cannot start any token", "this character cannot start a value: put the value in quotes"},
	{"mapping values are not allowed in this context", "a second \": \" in one value: put the value in quotes, or check the indentation"},
	{"did not find expected key", "a key was expected here: check the indentation of this line and of the one before, and that quotes are closed"},
	{"did not find expected '-' indicator", "an item of the list was expected here: start it with \"- \", below the other items"},
	{"could not find expected ':'", "a \":\" is missing after a key"},
	{"found unexpected end of stream", "a quote is opened here and never closed"},
	{"found unexpected document indicator", "a quote is opened here and not closed before the document ends"},
	{"did not find expected ',' or ']'", "a list that was opened with \"[\" goes on here without \",\" or \"]\""},
	{"did not find expected ',' or '}'", "a map that was opened with \"{\" goes on here without \",\" or \"}\""},
	{"did not find expected node content", "a value was expected here"},
	{"did not find expected <document start>", "the document has ended before this line: check the indentation, or start another with \"---\""},
	{"control characters are not allowed", "a control character: a scenario is text"},
}

// syntax reports an error of the YAML parser, which knows a line at most.
func (r *report) syntax(err error, text []byte) {
	m := syntaxError.FindStringSubmatch(err.Error())
	if m == nil {
		m = []string{"", "", err.Error()}
	}
	lines := strings.Split(lineEnds.Replace(string(text)), "\n")
	reported, _ := strconv.Atoi(m[1]) // none is 0
	n := max(reported, lastGood(lines)+1)
	n = r.within(Pos{Line: n}).Line
	line := lines[n-1]
	at := Pos{n, 1 + utf8.RuneCountInString(line) - utf8.RuneCountInString(strings.TrimLeft(line, " \t"))}
	what := m[2]
	for _, a := range advice {
		if strings.HasPrefix(what, a.says) {
			what = a.means
		}
	}
	place := func(i, byteCol int) { at = Pos{i + 1, utf8.RuneCountInString(lines[i][:byteCol]) + 1} }
	switch {
	case strings.HasPrefix(m[2], "unknown anchor '"):
		name := strings.TrimSuffix(strings.TrimPrefix(m[2], "unknown anchor '"), "' referenced")
		what = fmt.Sprintf("the alias *%s has no anchor: write &%s before the value that it means, in the same document", name, name)
		for i, l := range lines {
			if c := strings.Index(l, "*"+name); c >= 0 {
				place(i, c)
				break
			}
		}
	case strings.Contains(m[2], "cannot start any token"):
		if c := strings.IndexAny(line, "@`%"); c >= 0 {
			place(n-1, c)
		}
		// The parser sees the tab that ends an indentation only on the way to the next token.
		for i := max(n-2, 0); i < min(n+1, len(lines)); i++ {
			blank := lines[i][:len(lines[i])-len(strings.TrimLeft(lines[i], " \t"))]
			if tab := strings.IndexByte(blank, '\t'); tab >= 0 {
				place(i, tab)
				what = "a tab: YAML is indented with spaces"
				break
			}
		}
	case strings.HasPrefix(m[2], "control characters"):
		for i, l := range lines {
			if c := strings.IndexFunc(l, func(c rune) bool { return c < ' ' && c != '\t' || c >= 0x7f && c < 0xa0 }); c >= 0 {
				place(i, c)
				break
			}
		}
	}
	r.problem(at, "%s", what)
}

// maxBisected bounds lastGood, which is quadratic in the lines of one document.
const maxBisected = 1000

// lastGood is the last line up to which the text still is YAML; 0 when that is not known. The parser itself names the
// line where the enclosing map or list began, which can be far above the mistake.
func lastGood(lines []string) int {
	for from := 0; from < len(lines); {
		to := from + 1
		for to < len(lines) && !documentStart(lines[to]) {
			to++
		}
		if !isYAML(lines[from:to]) {
			if to-from > maxBisected {
				return 0
			}
			for to--; to > from && !isYAML(lines[from:to]); to-- {
			}
			return to
		}
		from = to
	}
	return 0
}

func documentStart(line string) bool {
	return line == "---" || strings.HasPrefix(line, "--- ")
}

func isYAML(lines []string) bool {
	var n yaml.Node
	return yaml.Unmarshal([]byte(strings.Join(lines, "\n")+"\n"), &n) == nil
}
