package lab

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// sysctls are those that decide where packets go and what is remembered of them.
var sysctls = []string{
	"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/default/rp_filter",
	"net/ipv4/conf/all/route_localnet", "net/ipv4/conf/all/arp_ignore", "net/ipv4/ip_local_port_range",
	"net/netfilter/nf_conntrack_tcp_be_liberal", "net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_count",
	"net/netfilter/nf_conntrack_udp_timeout", "net/netfilter/nf_conntrack_udp_timeout_stream",
	"net/netfilter/nf_conntrack_tcp_timeout_established", "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
	"net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables",
}

// Artifacts is what one wants to read after a failure: of every node its rules, connection tracking, routes, sysctls and
// what its proxy says of itself. What cannot be had says so in its own place.
func (l *Lab) Artifacts(ctx context.Context) map[string]string {
	out := map[string]string{}
	for _, n := range l.nodes {
		n.artifacts(ctx, func(name, text string, err error) {
			if err != nil {
				text += fmt.Sprintf("(%v)\n", err)
			}
			out["node-"+n.host.Name+"/"+name] = text
		})
	}
	return out
}

func (n *node) artifacts(ctx context.Context, put func(name, text string, err error)) {
	if d, ok := n.proxy.(interface {
		Dump(context.Context) (string, error)
	}); ok {
		text, err := d.Dump(ctx)
		put("proxy-dump.txt", text, err)
	}
	if a, ok := n.proxy.(interface{ Artifacts() map[string]string }); ok {
		for name, text := range a.Artifacts() {
			put(name, text, nil)
		}
	}
	entries, err := n.entries(ctx, 0)
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%3d %s > %s  reply %s > %s  status %#x id %d\n", e.Proto, e.OrigSrc, e.OrigDst, e.ReplySrc, e.ReplyDst, e.Status, e.ID)
	}
	put("conntrack.txt", b.String(), err)
	commands := map[string][]string{
		"nftables.txt": {"nft", "-a", "list", "ruleset"},
		"routes4.txt":  {"ip", "-4", "route", "show", "table", "all"},
		"routes6.txt":  {"ip", "-6", "route", "show", "table", "all"},
		"links.txt":    {"ip", "-d", "addr"},
	}
	for family, file := range map[string]string{"iptables": "/proc/net/ip_tables_names", "ip6tables": "/proc/net/ip6_tables_names"} {
		if tables, err := n.ns.ReadFile(file); err == nil && len(tables) > 0 { // saving makes tables where there were none
			commands[family+"-legacy.txt"] = []string{family + "-legacy-save", "-c"}
		}
	}
	for name, command := range commands {
		text, err := n.ns.Run(exec.CommandContext(ctx, command[0], command[1:]...))
		put(name, string(text), err)
	}
	for name, path := range map[string]string{"snmp.txt": "/proc/net/snmp", "netstat.txt": "/proc/net/netstat"} {
		text, err := n.ns.ReadFile(path)
		put(name, string(text), err)
	}
	b.Reset()
	for _, name := range sysctls {
		text, err := n.ns.ReadFile("/proc/sys/" + name)
		if err != nil {
			text = []byte("(not there)")
		}
		fmt.Fprintf(&b, "%s = %s\n", strings.ReplaceAll(name, "/", "."), strings.TrimSpace(string(text)))
	}
	put("sysctls.txt", b.String(), nil)
}
