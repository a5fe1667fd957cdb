package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"

	"svclab/nsnet/packet"
)

// A case's file has an interface for each device that a packet passed, and the Service's address on the client's side of its
// node only.
func TestRunPcap(t *testing.T) {
	needSandbox(t)
	dir := t.TempDir()
	code, _, stderr := svclabIn(t, dir, "", nil, "run", "hairpin", "--run", "ipv4/nftables", "--proxy", "nftables", "--pcap", "packets", "--report-dir", "")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	file, err := os.ReadFile(filepath.Join(dir, "packets", "hairpin-ipv4-nftables.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	syns := map[string]int{}
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		face, err := r.Interface(info.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := packet.FromFrame(data); ok && strings.HasPrefix(p.String(), "SYN") && strings.HasPrefix(p.Dst.String(), "10.96.") {
			syns[face.Name]++
		}
	}
	if len(syns) < 2 {
		t.Errorf("a Service was called at %v", syns)
	}
	for name := range syns {
		if strings.HasPrefix(name, "underlay") {
			t.Errorf("a Service's address was on %s", name)
		}
	}
	if code, _, stderr := svclabIn(t, dir, "", nil, "run", "hairpin", "--pcap", "/proc/none"); code != 2 || !strings.Contains(stderr, "--pcap: ") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
