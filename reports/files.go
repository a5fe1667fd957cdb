package reports

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"svclab/reports/verdict"
)

// Folder files a run under dir: <dir>/<time>-<seed>/ with report.json, report.txt, report.md, junit.xml, and for every
// case that did not pass a folder of artifacts; <dir>/latest is a link to it. It returns the folder's path.
func Folder(dir string, r *verdict.Run) (string, error) {
	name := fmt.Sprintf("%s-%d", r.Started.UTC().Format("20060102T150405.000Z"), r.Seed)
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("make report folder: %w", err)
	}
	for file, format := range map[string]string{"report.json": "json", "report.txt": "table", "report.md": "markdown", "junit.xml": "junit"} {
		if err := File(filepath.Join(path, file), format, r); err != nil {
			return "", err
		}
	}
	for i := range r.Cases {
		if err := artifacts(path, i, &r.Cases[i]); err != nil {
			return "", err
		}
	}
	link := filepath.Join(dir, "latest")
	_ = os.Remove(link) // it may not be there
	if err := os.Symlink(name, link); err != nil {
		return "", fmt.Errorf("link latest report: %w", err)
	}
	return path, nil
}

// File writes the run into one file, with all there is to say.
func File(path, format string, r *verdict.Run) error {
	var b bytes.Buffer
	if err := Write(&b, format, r, Options{Verbose: true}); err != nil {
		return err
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// artifacts writes those of one case; the number keeps repeated cases apart.
func artifacts(path string, number int, c *verdict.Case) error {
	dir := filepath.Join(path, fmt.Sprintf("%03d-%s", number+1, strings.ReplaceAll(c.ID(), "/", "-")))
	for name, text := range c.Artifacts {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("make artifact folder: %w", err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return fmt.Errorf("write artifact: %w", err)
		}
	}
	return nil
}
