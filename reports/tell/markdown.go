package tell

import (
	"io"
)

// Markdown writes the story; to be written.
func Markdown(w io.Writer, s *Story) error { return nil }

// HTML writes the story; to be written.
func HTML(w io.Writer, s *Story) error { return nil }
