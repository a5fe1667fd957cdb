package packet

import (
	"bytes"
	"net"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// frame is built by a library that is not ours.
func frame(t *testing.T, checksums bool, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	kind := layers.EthernetTypeIPv4
	if _, is6 := parts[0].(*layers.IPv6); is6 {
		kind = layers.EthernetTypeIPv6
	}
	b := gopacket.NewSerializeBuffer()
	all := append([]gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: kind}}, parts...)
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: checksums}, all...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func four(proto layers.IPProtocol, src, dst string) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Id: 77, Protocol: proto, SrcIP: net.ParseIP(src).To4(), DstIP: net.ParseIP(dst).To4()}
}

func six(proto layers.IPProtocol, src, dst string) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst)}
}

type network interface {
	gopacket.SerializableLayer
	gopacket.NetworkLayer
}

func tcp(n network, src, dst uint16, checksums bool, t *testing.T, payload string) []byte {
	l := &layers.TCP{SrcPort: layers.TCPPort(src), DstPort: layers.TCPPort(dst), Seq: 1000, Ack: 2000, PSH: true, ACK: true, Window: 100}
	_ = l.SetNetworkLayerForChecksum(n)
	return frame(t, checksums, n, l, gopacket.Payload(payload))
}

func udp(n network, src, dst uint16, checksums bool, t *testing.T, payload string) []byte {
	l := &layers.UDP{SrcPort: layers.UDPPort(src), DstPort: layers.UDPPort(dst)}
	_ = l.SetNetworkLayerForChecksum(n)
	return frame(t, checksums, n, l, gopacket.Payload(payload))
}

func TestFromFrame(t *testing.T) {
	for want, b := range map[string][]byte{
		"10.0.0.1:4000 > 10.96.0.1:80 PSH ACK, 5 bytes":     tcp(four(6, "10.0.0.1", "10.96.0.1"), 4000, 80, true, t, "hello"),
		"[fd00::1]:4000 > [fd00::2]:80 PSH ACK, 5 bytes":    tcp(six(6, "fd00::1", "fd00::2"), 4000, 80, true, t, "hello"),
		"10.0.0.1:4000 > 10.96.0.1:53 datagram, 3 bytes":    udp(four(17, "10.0.0.1", "10.96.0.1"), 4000, 53, true, t, "who"),
		"[fd00::1]:4000 > [fd00::2]:53 datagram, 3 bytes":   udp(six(17, "fd00::1", "fd00::2"), 4000, 53, true, t, "who"),
		"10.0.0.1:9 > 10.0.0.2:9 ICMP echo request":         frame(t, true, four(1, "10.0.0.1", "10.0.0.2"), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 9, Seq: 1}),
		"10.0.0.1:0 > 10.0.0.2:0 protocol 47, 4 bytes":      frame(t, true, four(47, "10.0.0.1", "10.0.0.2"), gopacket.Payload("abcd")),
		"10.0.0.9:0 > 10.0.0.1:0 ICMP port unreachable":     frame(t, true, four(1, "10.0.0.9", "10.0.0.1"), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 3)}, gopacket.Payload(tcp(four(6, "10.0.0.1", "10.96.0.1"), 4000, 80, true, t, "")[14:])),
		"10.0.0.9:0 > 10.0.0.1:0 ICMP type 13 code 0":       frame(t, true, four(1, "10.0.0.9", "10.0.0.1"), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(13, 0)}),
		"10.0.0.9:0 > 10.0.0.1:0 ICMP fragmentation needed": frame(t, true, four(1, "10.0.0.9", "10.0.0.1"), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4)}),
	} {
		p, ok := FromFrame(b)
		if got := p.Src.String() + " > " + p.Dst.String() + " " + p.String(); !ok || got != want {
			t.Errorf("got %s, %v, want %s", got, ok, want)
		}
		if p.Code == 3 && (p.Quoted == nil || p.Quoted.Dst.String() != "10.96.0.1:80" || p.Quoted.Seq != 1000) {
			t.Errorf("it quotes %+v", p.Quoted)
		}
		for n := range b { // nothing cut short makes it panic
			FromFrame(b[:n])
		}
	}
}

// NAT and routers change neither; another payload is another packet.
func TestKey(t *testing.T) {
	key := func(b []byte) Key {
		p, ok := FromFrame(b)
		if !ok {
			t.Fatal("not read")
		}
		return p.Key()
	}
	before := tcp(four(6, "10.0.0.1", "10.96.0.1"), 4000, 80, true, t, "hello")
	after := tcp(four(6, "192.168.0.1", "10.1.2.3"), 31000, 5000, true, t, "hello")
	after[14+8] = 62 // TTL
	if key(before) != key(after) {
		t.Error("NAT makes another key")
	}
	if key(before) == key(tcp(four(6, "10.0.0.1", "10.96.0.1"), 4000, 80, true, t, "hello, world")) {
		t.Error("another length makes no other key")
	}
	if key(udp(four(17, "10.0.0.1", "10.96.0.1"), 4000, 80, true, t, "one")) == key(udp(four(17, "10.0.0.1", "10.96.0.1"), 4000, 80, true, t, "two")) {
		t.Error("another payload makes no other key")
	}
	// A trace has the headers and 20 bytes of what follows.
	whole := udp(six(17, "fd00::1", "fd00::2"), 4000, 53, true, t, "a longer question than that")
	p, ok := FromHeaders(whole[14:54], whole[54:74])
	if !ok || p.Key() != key(whole) {
		t.Error("a trace makes another key than a frame")
	}
}

func TestMend(t *testing.T) {
	for name, make := range map[string]func(checksums bool) []byte{
		"TCP, IPv4": func(c bool) []byte { return tcp(four(6, "10.0.0.1", "10.96.0.1"), 4000, 80, c, t, "hello") },
		"TCP, IPv6": func(c bool) []byte { return tcp(six(6, "fd00::1", "fd00::2"), 4000, 80, c, t, "hello!") },
		"UDP, IPv4": func(c bool) []byte { return udp(four(17, "10.0.0.1", "10.96.0.1"), 4000, 80, c, t, "hello") },
		"UDP, IPv6": func(c bool) []byte { return udp(six(17, "fd00::1", "fd00::2"), 4000, 80, c, t, "hello!") },
	} {
		got, want := make(false), make(true)
		copy(got[14:34], want[14:34]) // the IP header's is not the sender's to leave
		if bytes.Equal(got, want) {
			t.Fatalf("%s: nothing to mend", name)
		}
		if Mend(got); !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot  %x\nwant %x", name, got, want)
		}
		for n := range got {
			Mend(got[:n:n])
		}
	}
}
