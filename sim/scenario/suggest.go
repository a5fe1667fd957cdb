package scenario

import (
	"fmt"
	"strings"
)

// didYouMean is `: did you mean "probe"?`, or nothing when no known word is near.
func didYouMean(word string, known []string) string {
	best, least := "", max(1, len(word)/3)+1 // one slip in three letters, and at least one
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// knownWords is "Known: a, b".
func knownWords(known []string) string { return "Known: " + strings.Join(known, ", ") }

// unknown says that a word is none of those known, which it might have been, and which there are.
func unknown(what, word, where string, known []string) string {
	hint := didYouMean(word, known)
	if hint == "" {
		hint = "."
	} else if len(known) == 1 {
		return fmt.Sprintf("unknown %s %q%s%s", what, shorten(word), where, hint)
	}
	return fmt.Sprintf("unknown %s %q%s%s %s", what, shorten(word), where, hint, knownWords(known))
}

// distance counts the letters to add, drop, replace or swap with the next one (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 { // no word of ours is that long
		return max(len(x), len(y))
	}
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			miss := 1
			if x[i-1] == y[j-1] {
				miss = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+miss)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}
