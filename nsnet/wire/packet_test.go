package wire

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const (
		mac  = "0a5900000001 0a5900000002 "
		ip4  = mac + "0800 45000028 00000000 40" // then protocol
		ends = "0000 0a000101 ac140001 "
		ip6  = mac + "86dd 60000000 0000 " // then next header
		six  = "40 fd000001000000000000000000000001 fd200000000000000000000000000001 "
	)
	tests := []struct{ name, frame, want string }{
		{"tcp", ip4 + "06" + ends + "c350 0050", "tcp 10.0.1.1:50000 > 172.20.0.1:80"},
		{"udp", ip4 + "11" + ends + "c350 0035", "udp 10.0.1.1:50000 > 172.20.0.1:53"},
		{"sctp", ip4 + "84" + ends + "c350 0050", "sctp 10.0.1.1:50000 > 172.20.0.1:80"},
		{"icmp", ip4 + "01" + ends + "0800 0000", "proto-1 10.0.1.1:0 > 172.20.0.1:0"},
		{"echo request", ip4 + "01" + ends + "0800 0000 c350 0001", "proto-1 10.0.1.1:50000 > 172.20.0.1:0"},
		{"echo reply", ip4 + "01" + ends + "0000 0000 c350 0001", "proto-1 10.0.1.1:0 > 172.20.0.1:0"},
		{"echo request over IPv6", ip6 + "3a" + six + "8000 0000 c350 0001", "proto-58 [fd00:1::1]:50000 > [fd20::1]:0"},
		{"options", mac + "0800 4600002c 00000000 4006" + ends + "01010101 c350 0050", "tcp 10.0.1.1:50000 > 172.20.0.1:80"},
		{"first fragment", mac + "0800 45000028 00002000 4006" + ends + "c350 0050", "tcp 10.0.1.1:50000 > 172.20.0.1:80"},
		{"later fragment", mac + "0800 45000028 00000001 4006" + ends + "c350 0050", "nothing"},
		{"cut short", ip4 + "06" + ends + "c350", "nothing"},
		{"a header that cannot be", mac + "0800 41000028 00000000 4006" + ends + "c350 0050", "nothing"},
		{"tcp over IPv6", ip6 + "06" + six + "c350 0050", "tcp [fd00:1::1]:50000 > [fd20::1]:80"},
		{"hop by hop and destination options", ip6 + "00" + six + "3c00000000000000 0601000000000000 0000000000000000 c350 0050", "tcp [fd00:1::1]:50000 > [fd20::1]:80"},
		{"first fragment over IPv6", ip6 + "2c" + six + "1100000100000000 c350 0035", "udp [fd00:1::1]:50000 > [fd20::1]:53"},
		{"later fragment over IPv6", ip6 + "2c" + six + "1100000800000000 c350 0035", "nothing"},
		{"an extension cut short", ip6 + "00" + six + "06ff0000", "nothing"},
		{"arp", mac + "0806 0001080006040001", "nothing"},
		{"no frame", "0a59", "nothing"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			frame, err := hex.DecodeString(strings.ReplaceAll(test.frame, " ", ""))
			ok(t, err)
			got := "nothing"
			if p, ok := parse(frame); ok {
				got = fmt.Sprintf("%s %s > %s", protoName(p.proto), p.src, p.dst)
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			for n := range frame {
				parse(frame[:n]) // must not panic
			}
		})
	}
}
