package capture_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"svclab/nsnet"
	"svclab/nsnet/capture"
	"svclab/nsnet/nstest"
	"svclab/nsnet/packet"
	"svclab/nsnet/wire"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// pair is a pod and its node, with a server on the node.
func pair(t *testing.T, podAddr, nodeAddr string) (pod, node *nsnet.NS) {
	t.Helper()
	nstest.Need(t, "veth")
	pod, node = nstest.NS(t, "pod"), nstest.NS(t, "node")
	if err := wire.NodeSysctls(node); err != nil {
		t.Fatal(err)
	}
	link := wire.PodLinkOptions{NodeDev: "pod1"}
	if a := netip.MustParseAddr(podAddr); a.Is4() {
		link.V4 = a
	} else {
		link.V6 = a
	}
	if err := wire.PodLink(node, pod, link); err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddr(nodeAddr)
	if err := wire.Addr(node, "lo", netip.PrefixFrom(a, a.BitLen())); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		wire.Ready(t.Context(), pod, "eth0", netip.MustParseAddr(podAddr)), wire.Ready(t.Context(), node, "pod1"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ln, err := node.ListenTCP(netip.AddrPortFrom(a, 80))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	return pod, node
}

func talk(t *testing.T, pod *nsnet.NS, to string) {
	t.Helper()
	var c *net.TCPConn
	err := pod.Do(func() (err error) {
		c, err = net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(to)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
}

// hops names the two devices, and says which frame is of which.
func hops(pod, node *nsnet.NS, frames []capture.Frame) (list []capture.Hop, records []capture.Record) {
	list = []capture.Hop{{Name: "pod/client eth0", About: "the client's end"}, {Name: "node-1 pod1"}}
	for i, f := range frames {
		r := capture.Record{Frame: f, Number: uint64(i + 1), Comments: []string{fmt.Sprintf("packet %d", i+1), "as seen"}}
		if f.NS == node {
			r.Hop = 1
		}
		records = append(records, r)
	}
	return list, records
}

func TestCapture(t *testing.T) {
	for name, c := range map[string]struct{ pod, node, to string }{
		"IPv4": {"10.244.1.2", "10.0.0.1", "10.0.0.1:80"},
		"IPv6": {"fd00:244::2", "fd00::1", "[fd00::1]:80"},
	} {
		t.Run(name, func(t *testing.T) {
			pod, node := pair(t, c.pod, c.node)
			before := runtime.NumGoroutine()
			heard, err := capture.Open(pod, node)
			if err != nil {
				t.Fatal(err)
			}
			talk(t, pod, c.to)
			frames, err := heard.Frames()
			if err != nil || heard.Lost() != 0 {
				t.Fatalf("lost %d, error %v", heard.Lost(), err)
			}
			// Each packet goes out at one end and comes in at the other, before the next one does.
			var seen []string
			for _, f := range frames {
				if p, ok := packet.FromFrame(f.Data); ok && p.Proto == 6 && len(seen) < 6 {
					seen = append(seen, fmt.Sprintf("%s out=%v %v", f.NS.Name(), f.Outgoing, &p))
				}
			}
			want := "pod out=true SYN|node out=false SYN|node out=true SYN ACK|pod out=false SYN ACK|pod out=true ACK|node out=false ACK"
			if got := strings.Join(seen, "|"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			for range 2 {
				if err := heard.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if after := runtime.NumGoroutine(); after > before+1 { // the server's
				t.Errorf("%d goroutines before, %d afterwards", before, after)
			}
			readBack(t, pod, node, frames)
		})
	}
}

func readBack(t *testing.T, pod, node *nsnet.NS, frames []capture.Frame) {
	t.Helper()
	list, records := hops(pod, node, frames)
	var file bytes.Buffer
	if err := capture.Write(&file, list, records); err != nil {
		t.Fatal(err)
	}
	whole := bytes.Clone(file.Bytes())
	r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		data, info, options, err := r.ReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.InterfaceIndex != records[n].Hop || !info.Timestamp.Equal(frames[n].At) || len(data) != len(frames[n].Data) {
			t.Errorf("packet %d: interface %d at %v of %d bytes", n, info.InterfaceIndex, info.Timestamp, len(data))
		}
		if got := strings.Join(options.Comments, ","); got != fmt.Sprintf("packet %d,as seen", n+1) {
			t.Errorf("packet %d: comments %s", n, got)
		}
		if face, err := r.Interface(info.InterfaceIndex); err != nil || face.Name != list[records[n].Hop].Name {
			t.Errorf("packet %d: interface %v %v", n, face.Name, err)
		}
		n++
	}
	if n != len(records) {
		t.Errorf("%d packets of %d", n, len(records))
	}
	tshark(t, whole, len(records))
}

var outgoing = regexp.MustCompile(`(?m)^pod/client eth0\tpacket \d+,as seen\t0x00000002\t1$`)

// tshark agrees about names, comments, directions and checksums.
func tshark(t *testing.T, file []byte, packets int) {
	t.Helper()
	program, err := exec.LookPath("tshark")
	if err != nil {
		if strings.Contains(os.Getenv(nstest.RequireEnv), "tshark") {
			t.Fatal(err)
		}
		t.Logf("not read by tshark: %v", err)
		return
	}
	path := filepath.Join(t.TempDir(), "lab.pcapng")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-r", path, "-n", "-o", "tcp.check_checksum:TRUE", "-T", "fields", "-e", "frame.interface_name", "-e", "frame.comment",
		"-e", "frame.packet_flags_direction", "-e", "tcp.checksum.status")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	good := 0
	for _, l := range lines {
		fields := strings.Split(l, "\t")
		if len(fields) == 4 && fields[3] == "1" {
			good++
		} else if len(fields) != 4 || fields[3] == "0" {
			t.Errorf("tshark: %q", l)
		}
	}
	if len(lines) != packets || good < 6 || !outgoing.Match(out) {
		t.Errorf("tshark read %d of %d packets, %d checksums are right:\n%s", len(lines), packets, good, out)
	}
}

func TestWriteNothing(t *testing.T) {
	if err := capture.Write(io.Discard, nil, nil); err == nil || err.Error() != "write pcapng: there is no hop, and a file needs one" {
		t.Error(err)
	}
	err := capture.Write(io.Discard, []capture.Hop{{Name: "a"}}, []capture.Record{{Hop: 1, Frame: capture.Frame{At: time.Now()}}})
	if err == nil || err.Error() != "write pcapng: packet 1 is of hop 1, and there are 1" {
		t.Error(err)
	}
}
