package tell

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"titled": titled, "sign": Step.sign, "css": func() template.CSS { return template.CSS(pageStyle) },
	"when": func(s Step) string {
		if !s.Timed {
			return ""
		}
		return fmt.Sprintf("%.1f", float64(s.Time)/float64(time.Microsecond))
	},
}).Parse(pageText))

// HTML writes the story as a page: one file, which needs nothing else and has no script. It is well-formed XML too.
func HTML(w io.Writer, s *Story) error { return pageTemplate.Execute(w, s) }
