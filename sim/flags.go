package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// fromEnvironment gives each flag that was not written the value of its variable: SVCLAB_REPORT_DIR for --report-dir. An
// empty variable is none.
func fromEnvironment(c *cobra.Command, _ []string) error {
	var wrong error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		name := "SVCLAB_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		text := os.Getenv(name)
		if f.Changed || text == "" || f.Name == "help" || wrong != nil {
			return
		}
		if err := f.Value.Set(text); err != nil {
			wrong = fmt.Errorf("%s=%q: %w", name, text, plain(err, f.Value.Type()))
		}
		f.Changed = true
	})
	return wrong
}

// plain says what strconv says without naming strconv.
func plain(err error, kind string) error {
	switch {
	case !errors.As(err, new(*strconv.NumError)):
		return err
	case kind == "bool":
		return errors.New("must be true or false")
	}
	return errors.New("must be a number")
}

// choice is a flag that takes one of some words.
type choice struct {
	to *string
	of []string
}

func (c choice) String() string { return *c.to }
func (c choice) Type() string   { return "word" }

func (c choice) Set(text string) error {
	if !slices.Contains(c.of, text) {
		return fmt.Errorf("must be one of %s", strings.Join(c.of, ", "))
	}
	*c.to = text
	return nil
}

// positive is a flag that takes a number of at least 1, and at most most when that is not 0.
type positive struct {
	to   *int
	most int
}

func (p positive) String() string { return strconv.Itoa(*p.to) }
func (p positive) Type() string   { return "int" }

func (p positive) Set(text string) error {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 1:
		return errors.New("must be a number of at least 1")
	case p.most > 0 && n > p.most:
		return fmt.Errorf("must be at most %d", p.most)
	}
	*p.to = n
	return nil
}

// pattern is a flag that takes a regular expression; without one everything matches, or nothing, as the caller likes.
type pattern struct{ *regexp.Regexp }

func (p *pattern) Type() string { return "regexp" }

func (p *pattern) String() string {
	if p.Regexp == nil {
		return ""
	}
	return p.Regexp.String()
}

func (p *pattern) Set(text string) error {
	re, err := regexp.Compile(text)
	p.Regexp = re
	return err
}

// shard is a flag that takes "i/n": the i-th of n parts.
type shard struct{ i, n uint64 }

func (s *shard) Type() string { return "i/n" }

func (s *shard) String() string {
	if s.n == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.i, s.n)
}

func (s *shard) Set(text string) error {
	left, right, _ := strings.Cut(text, "/")
	i, errI := strconv.ParseUint(left, 10, 32)
	n, errN := strconv.ParseUint(right, 10, 32)
	if errI != nil || errN != nil || i < 1 || i > n {
		return errors.New("must be i/n with i from 1 to n, such as 1/3")
	}
	s.i, s.n = i, n
	return nil
}

// sizes is a flag for several numbers, in the order in which they are given.
type sizes struct{ to *[]int }

func (s sizes) Type() string { return "ints" }

func (s sizes) String() string {
	var words []string
	for _, n := range *s.to {
		words = append(words, strconv.Itoa(n))
	}
	return strings.Join(words, ",")
}

func (s sizes) Set(text string) error {
	var all []int
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 {
			return errors.New("must be numbers of at least 1 with commas between, as in 100,1000")
		}
		if slices.Contains(all, n) {
			return fmt.Errorf("%d is there twice", n)
		}
		all = append(all, n)
	}
	*s.to = all
	return nil
}
