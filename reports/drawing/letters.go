package drawing

import (
	"strings"
	"unicode/utf8"
)

// font is how a text is set: its size in units of the drawing, and by which widths.
type font struct {
	class string // of the style sheet
	size  float64
	kind  face
}

type face uint8

const (
	sans face = iota
	bold
	mono
)

var (
	headFont  = font{"head", 16, bold}
	stateFont = font{"soft intro", 11.5, sans}
	aboutFont = font{"soft intro", 11.5, sans}
	nameFont  = font{"name", 12, bold}
	noteFont  = font{"mono note", 11, mono}
	factFont  = font{"soft", 10.5, sans}
	valueFont = font{"mono", 10.5, mono}
	warnFont  = font{"warn", 10.5, sans}
	portFont  = font{"port", 10.5, sans}
	tagFont   = font{"tag", 9.5, sans}
	capFont   = font{"cap", 10.5, bold}
	stepFont  = font{"step", 12, bold}
	proseFont = font{"prose", 11.5, sans}
)

// Widths of the letters from space to ~, in thousandths of the size, of DejaVu Sans. It is the widest of the fonts that
// the style sheet's families may turn out to be, so that a text is never longer than was reckoned.
var widths = [2][95]uint16{
	{318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531,
		1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863, 748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500,
		500, 613, 635, 550, 635, 615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838},
	{348, 456, 521, 838, 696, 1002, 872, 306, 457, 457, 523, 838, 380, 415, 380, 365, 696, 696, 696, 696, 696, 696, 696, 696, 696, 696, 400, 400, 838, 838, 838, 580,
		1000, 774, 762, 734, 830, 683, 683, 821, 837, 372, 372, 775, 637, 995, 837, 850, 733, 850, 770, 720, 682, 812, 774, 1103, 771, 724, 725, 457, 365, 457, 838, 500,
		500, 675, 716, 593, 716, 678, 435, 716, 712, 343, 343, 665, 343, 1042, 712, 687, 716, 716, 493, 595, 478, 712, 652, 924, 645, 652, 582, 712, 365, 712, 838},
}

// monoWidth is that of every letter in fonts of one width; it is 550 to 602 in those that the style sheet names.
const monoWidth = 602

// width of a text, in units of the drawing.
func (f font) width(text string) float64 {
	sum := 0
	for _, r := range text {
		switch {
		case r >= 0x2e80: // Han, Hangul and emoji
			sum += 1300
		case r < ' ' || r > '~':
			sum += 1000
		case f.kind == mono:
			sum += monoWidth
		default:
			sum += int(widths[f.kind][r-' '])
		}
	}
	return float64(sum) * f.size / 1000
}

// wrap breaks a text into lines of at most that width: between words, behind a slash or comma, and within a word that is
// longer than a line.
func (f font) wrap(text string, width float64) (lines []string) {
	line := ""
	end := func() {
		if trimmed := strings.TrimRight(line, " "); trimmed != "" {
			lines = append(lines, trimmed)
		}
		line = ""
	}
	for _, word := range words(text) {
		if f.width(strings.TrimRight(line+word, " ")) > width {
			end()
		}
		for line == "" && f.width(strings.TrimRight(word, " ")) > width && utf8.RuneCountInString(word) > 1 {
			n := len(word)
			for n > 1 && f.width(word[:n]) > width {
				_, size := utf8.DecodeLastRuneInString(word[:n])
				n -= size
			}
			if n < 1 {
				_, n = utf8.DecodeRuneInString(word)
			}
			line, word = word[:n], word[n:]
			end()
		}
		line += word
	}
	end()
	return lines
}

// words are the parts that a line may end with.
func words(text string) (out []string) {
	from := 0
	for i, r := range text {
		if r == ' ' || r == ',' && i+1 < len(text) && text[i+1] != ' ' {
			out = append(out, text[from:i+1])
			from = i + 1
		}
	}
	return append(out, text[from:])
}
