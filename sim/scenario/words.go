package scenario

import "slices"

// ParseSender reads who sends, as the field "from" of a probe has it.
func ParseSender(text string) (Ref, error) { return parseRef(text, "a sender", fromKinds) }

// ParseTarget reads where a flow goes, as the field "to" of a probe has it.
func ParseTarget(text string) (Target, error) { return parseTarget(text) }

// Nearest goes on from a sentence about a name that is not known: `: did you mean "web"?`, or which there are.
func Nearest(name string, known []string) string {
	if hint := didYouMean(name, known); hint != "" || len(known) == 0 {
		return hint
	}
	known = slices.Sorted(slices.Values(known))
	const few = 8
	if len(known) > few {
		known = append(known[:few], "…")
	}
	return ". " + knownWords(known)
}
