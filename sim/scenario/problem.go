package scenario

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in a file, or (as a warning) that was passed over.
type Problem struct {
	File string
	Pos
	What string // what is wrong, and what would be right
}

// Error is "file:line:col: what", the form that editors jump to.
func (p Problem) Error() string { return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.What) }

// Problems is everything that is wrong in a file, in the order of the file.
type Problems []Problem

// Error has a line for each.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// maxProblems bounds what is reported at once: beyond it a reader does better to mend these first.
const maxProblems = 20

// report collects the problems of one file while it is read.
type report struct {
	file     string
	end      []int // for each line, how many characters it has: positions are kept within
	problems Problems
	warnings []Problem
}

func (r *report) problem(at Pos, format string, args ...any) {
	r.problems = append(r.problems, Problem{r.file, r.within(at), fmt.Sprintf(format, args...)})
}

func (r *report) warn(at Pos, format string, args ...any) {
	r.warnings = append(r.warnings, Problem{r.file, r.within(at), fmt.Sprintf(format, args...)})
}

// within moves a position into the file: parsers like to complain one line after the last.
func (r *report) within(at Pos) Pos {
	at.Line = min(max(at.Line, 1), len(r.end))
	at.Col = min(max(at.Col, 1), r.end[at.Line-1]+1)
	return at
}

// err is nil when nothing is wrong, else Problems: sorted, no two alike, and not too many.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	byPlace(r.problems)
	all := slices.Compact(r.problems)
	if rest := len(all) - maxProblems; rest > 0 {
		more := all[maxProblems]
		more.What = fmt.Sprintf("and %d more from here on; mend those above first", rest)
		all = append(all[:maxProblems:maxProblems], more)
	}
	return all
}

func byPlace(p []Problem) {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), strings.Compare(a.What, b.What))
	})
}

// nameOfFile is what a scenario is called that does not name itself: the file, without folder and ending.
func nameOfFile(file string) string {
	base := filepath.Base(file)
	return strings.TrimSuffix(base, filepath.Ext(base))
}
