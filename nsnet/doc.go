// Package nsnet is the only room of svclab in which a thread changes its network namespace.
//
// An NS is a network namespace held by a file descriptor. It has no name in the file system, no mount and no process: when
// the last descriptor and the last socket are gone, also by kill -9, the kernel takes it away.
//
// Three facts of Linux and Go shape the package:
//
//   - A socket belongs for ever to the namespace in which it was made. Enter to make the socket, leave, and then use it from
//     any goroutine; a server needs neither a process nor a thread of its own.
//   - A thread that goes back to the Go scheduler in a foreign namespace is contagious: other goroutines run on it, and new
//     threads inherit from it. Every way out of Do restores the thread, or keeps it locked so that it dies.
//   - /proc/sys/net and /proc/thread-self/net show the namespace of the thread that opens them; /proc/net that of the main
//     thread, and /sys/class/net that of the mount. Read through NS.ReadFile and write through NS.Sysctl.
package nsnet
