// Package wire connects network namespaces: veth pairs, bridges, addresses, routes, and a sink for what leaks.
//
// Every function takes the namespace it works in and moves no thread: it speaks netlink. Addresses are never "tentative", though
// Ready must be asked before the first packet, and where two ends know each other's hardware address no ARP and no neighbour
// discovery is ever sent, so that a wire is quiet unless a flow uses it. Both are needed for captures that mean something and
// for labs that start in milliseconds.
//
//	sink ── underlay (Segment) ──┬── node-1 ──┬── pod eth0 (PodLink, routed)
//	                             │            └── pod eth0
//	                             └── node-2 ───── pod eth0
package wire
