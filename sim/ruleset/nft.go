package ruleset

import "strings"

// parseNFT reads what `nft list ruleset` writes: tables of sets, maps and chains. The form of nft's output is stable: a line for
// each rule, indented by two tabs, and elements in braces, which may go over many lines.
func parseNFT(text string) (lines []Line) {
	var at Line
	var elements strings.Builder
	inElements := false
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if inElements {
			elements.WriteString(" " + trimmed)
			if inElements = !closed(elements.String()); !inElements {
				lines = append(lines, at.elements(elements.String())...)
			}
			continue
		}
		words := strings.Fields(trimmed)
		switch {
		case len(words) == 0 || words[0] == "#" || words[0] == "}":
			if trimmed == "}" {
				at.Chain, at.Set, at.Hook = "", "", ""
			}
		case words[0] == "table" && len(words) >= 3:
			at = Line{Family: words[1], Table: words[2]}
		case at.Chain == "" && at.Set == "" && words[len(words)-1] == "{" && len(words) == 3:
			if words[0] == "chain" {
				at.Chain = words[1]
			} else {
				at.Set = words[1]
			}
		case at.Set != "" && words[0] == "elements":
			elements.Reset()
			elements.WriteString(trimmed)
			if inElements = !closed(trimmed); !inElements {
				lines = append(lines, at.elements(trimmed)...)
			}
		case at.Chain != "" && words[0] == "type" && strings.Contains(trimmed, " hook "):
			at.Hook = strings.TrimSuffix(strings.NewReplacer("type ", "", " hook", ", hook", " priority", ", priority", ";", ",").Replace(trimmed), ",")
		case at.Chain != "" && words[0] != "comment":
			l := at
			l.Text = withoutCounters(trimmed)
			lines = append(lines, l)
		}
	}
	return lines
}

func closed(text string) bool { return strings.HasSuffix(text, "}") }

// elements takes "elements = { a . b : c, … }" apart.
func (l Line) elements(text string) (lines []Line) {
	text = strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(text, "elements = {"), "}"))
	for _, e := range commas(text) {
		one := l
		one.Text = withoutTimes(e)
		key, data, _ := strings.Cut(one.Text, " : ")
		one.Key, _, _ = strings.Cut(key, " comment ")
		one.Key, _, _ = strings.Cut(one.Key, " timeout ")
		one.Data = data
		lines = append(lines, one)
	}
	return lines
}

// commas parts a list at its commas, but not at those in quotes.
func commas(text string) (out []string) {
	quoted, from := false, 0
	for i, c := range text {
		switch {
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			out = append(out, strings.TrimSpace(text[from:i]))
			from = i + 1
		}
	}
	if last := strings.TrimSpace(text[from:]); last != "" {
		out = append(out, last)
	}
	return out
}

// withoutTimes leaves out when an element expires.
func withoutTimes(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		if w == "expires" && i+1 < len(words) {
			return strings.Join(append(words[:i:i], words[i+2:]...), " ")
		}
	}
	return text
}

// withoutCounters leaves out what a rule has counted.
func withoutCounters(text string) string {
	before, after, found := strings.Cut(text, "counter packets ")
	if !found {
		return text
	}
	words := strings.SplitN(after, " ", 4) // N bytes M rest
	if len(words) < 4 {
		return strings.TrimSpace(before + "counter")
	}
	return before + "counter " + words[3]
}
