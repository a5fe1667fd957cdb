package scenario

import (
	"testing"
	"os"
)

func TestTmp(t *testing.T) {
	for _, f := range []string{"myservice","udp-sender","hairpin","no-endpoints","scale"} {
		b, _ := os.ReadFile("../../scenarios/basics/"+f+".yaml")
		s, err := Parse(f+".yaml", b)
		if err != nil { t.Error(err); continue }
		if len(s.Variants()) != 2 || len(s.Warnings) > 0 { t.Error(s.Warnings, len(s.Variants())) }
	}
}
