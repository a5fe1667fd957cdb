package wire

import (
	"slices"

	"svclab/nsnet"
)

// hostSettings keep a wire quiet and let answers come: for pods, clients, sinks and nodes. Each costs 15 µs for each pod, since
// the kernel makes the files anew in every namespace; so nothing is set twice or just in case.
var hostSettings = []nsnet.Setting{
	// First, for the kernel changes others with it. A new namespace inherits the IPv4 settings of the machine, and where Docker
	// runs the machine forwards.
	{Key: "net.ipv4.ip_forward", Value: "0"},
	// No address that was not given, no solicitation, no second of waiting for duplicates.
	{Key: "net.ipv6.conf.default.addr_gen_mode", Value: "1"},
	{Key: "net.ipv6.conf.default.accept_dad", Value: "0"},
	{Key: "net.ipv6.conf.default.router_solicitations", Value: "0"},
	// A router on the same segment must not teach a client a way around itself. IPv4 asks "all" or the device, IPv6 the device.
	{Key: "net.ipv4.conf.all.accept_redirects", Value: "0"},
	{Key: "net.ipv4.conf.default.accept_redirects", Value: "0"},
	{Key: "net.ipv6.conf.default.accept_redirects", Value: "0"},
	// Asymmetric paths are legal; a packet that a proxy mangled shall be seen, not filtered. The kernel takes the larger of "all"
	// and the device's own value.
	{Key: "net.ipv4.conf.all.rp_filter", Value: "0"},
	{Key: "net.ipv4.conf.default.rp_filter", Value: "0"},
	// Every refused flow gets its ICMP. Types outside the mask escape both limits, per peer and for all together.
	{Key: "net.ipv4.icmp_ratemask", Value: "0"},
	{Key: "net.ipv6.icmp.ratelimit", Value: "0"},
	{Key: "net.ipv6.icmp.ratemask", Value: "\n", Optional: true}, // since Linux 5.2; a list of types, and empty is none
}

// nodeSettings make a router of it.
var nodeSettings = slices.Concat(hostSettings, []nsnet.Setting{
	{Key: "net.ipv4.ip_forward", Value: "1"},
	{Key: "net.ipv6.conf.all.forwarding", Value: "1"}, // the kernel copies it to "default"
	{Key: "net.ipv4.conf.all.send_redirects", Value: "0"},
	{Key: "net.ipv4.conf.default.send_redirects", Value: "0"},
	// A packet that conntrack finds out of window would otherwise pass untranslated (row CT-14). Both are missing as long as the
	// conntrack module is not loaded; the first nat chain on the machine, the power probe's for example, loads it.
	{Key: "net.netfilter.nf_conntrack_tcp_be_liberal", Value: "1", Optional: true},
	{Key: "net.netfilter.nf_conntrack_acct", Value: "1", Optional: true},
})

// segmentSettings make a plain wire: no addresses, and no netfilter for bridged packets.
var segmentSettings = []nsnet.Setting{
	{Key: "net.ipv6.conf.all.disable_ipv6", Value: "1"},
	{Key: "net.ipv6.conf.default.disable_ipv6", Value: "1"},
	{Key: "net.bridge.bridge-nf-call-iptables", Value: "0", Optional: true},
	{Key: "net.bridge.bridge-nf-call-ip6tables", Value: "0", Optional: true},
	{Key: "net.bridge.bridge-nf-call-arptables", Value: "0", Optional: true},
}

// HostSysctls prepares a pod or a client. Call it before links are made: a device takes the defaults of its birth.
func HostSysctls(ns *nsnet.NS) error { return ns.Sysctls(hostSettings...) }

// NodeSysctls prepares a node, likewise before its links are made.
func NodeSysctls(ns *nsnet.NS) error { return ns.Sysctls(nodeSettings...) }
