// Package sctp reads and writes the first packets of an SCTP association (RFC 9260): INIT, INIT ACK and ABORT, each alone in
// its packet as the RFC demands of the first two. They are enough to see where an association would lead, on kernels that have
// no SCTP sockets: connection tracking follows them, and NAT rewrites their ports and their checksum.
//
// It makes bytes only; raw sockets are whoever uses it.
package sctp
