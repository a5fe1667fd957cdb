package lab

import (
	"net/netip"
	"testing"
)

func TestPadding(t *testing.T) {
	for _, tt := range []struct {
		text string
		size int
		want string
	}{
		{"w", 0, "w\n"},
		{"w", 2, "w\n"},
		{"w", 3, "w \n"},
		{"w", 12, "w .3.5.7.9.\n"},
		{"w", 16, "w .3.5.7.9.11.1\n"},
	} {
		got := padded(tt.text, tt.size)
		if got != tt.want {
			t.Errorf("padded(%q, %d): %q, want %q", tt.text, tt.size, got, tt.want)
		}
		if text, ok := whole(got, requestFields); text != tt.text || !ok {
			t.Errorf("%q is read as %q, whole %v", got, text, ok)
		}
	}
	long := padded("word", 9000)
	for _, damaged := range []string{
		long[:4000] + long[4008:],                   // something is missing
		long[:3000] + long[4480:5960] + long[4480:], // a fragment in another's place
		long[:8999],                // without end
		"x" + long,                 // something before
		"w x.3.5.7.9.\n",           // another padding
		"w  \n",                    // likewise
		long[:5] + "\n" + long[6:], // an end in between
	} {
		if text, ok := whole(damaged, requestFields); ok && text == "word" {
			t.Errorf("a damaged line of %d bytes is taken for whole", len(damaged))
		}
	}
}

func TestAnswersAreRead(t *testing.T) {
	server, source := netip.MustParseAddrPort("10.0.0.1:7"), netip.MustParseAddrPort("[fd00::1]:20000")
	for _, size := range []int{0, 34, 35, 3000} {
		text, ok := whole(padded(answer("word", server, source), size), answerFields)
		if !ok {
			t.Fatalf("size %d: not whole", size)
		}
		if a, b, err := parseAnswer(text, "word"); err != nil || a != server || b != source {
			t.Errorf("size %d: %s %s %v", size, a, b, err)
		}
	}
	for _, text := range []string{"other 10.0.0.1:7 10.0.0.2:8", "word 10.0.0.1:7", "word x 10.0.0.2:8", "word 10.0.0.1:7 x", ""} {
		if _, _, err := parseAnswer(text, "word"); err == nil {
			t.Errorf("%q is read as an answer", text)
		}
	}
}
