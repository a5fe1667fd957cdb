// Package counters reads what a namespace's kernel counts: the protocols' counters (snmp, netstat, snmp6), by which a packet
// that vanished without a trace may still be told.
package counters

import (
	"fmt"
	"strconv"
	"strings"

	"svclab/nsnet"
)

// Counters by name: "Ip:InAddrErrors", "TcpExt:IPReversePathFilter", "Ip6:InNoRoutes".
type Counters map[string]int64

// Read reads all of them.
func Read(ns *nsnet.NS) (Counters, error) {
	c := Counters{}
	for _, file := range []string{"snmp", "netstat"} {
		text, err := ns.ReadFile("/proc/net/" + file)
		if err != nil {
			return nil, fmt.Errorf("read counters: %w", err)
		}
		c.pairs(string(text))
	}
	if text, err := ns.ReadFile("/proc/net/snmp6"); err == nil { // a kernel without IPv6 has none
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) == 2 {
				c.set(sixName(f[0]), f[1])
			}
		}
	}
	return c, nil
}

// pairs reads lines of names, each with a line of values below it.
func (c Counters) pairs(text string) {
	lines := strings.Split(text, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		for j := 1; j < len(names) && j < len(values); j++ {
			c.set(names[0]+names[j], values[j])
		}
	}
}

func (c Counters) set(name, value string) {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		c[name] = n
	}
}

// sixName makes "Ip6:InNoRoutes" of "Ip6InNoRoutes".
func sixName(name string) string {
	for _, group := range []string{"UdpLite6", "Icmp6", "Ip6", "Udp6"} {
		if rest, ok := strings.CutPrefix(name, group); ok {
			return group + ":" + rest
		}
	}
	return name
}

// Since is what has moved from before to c, and by how much.
func (c Counters) Since(before Counters) Counters {
	moved := Counters{}
	for name, n := range c {
		if d := n - before[name]; d != 0 {
			moved[name] = d
		}
	}
	return moved
}
