// Package sandbox makes the calling program run in namespaces of its own, so that nothing it does reaches the machine and
// nothing is left behind, by whatever signal it ends.
//
// One program, three processes:
//
//	outer     on the machine: starts init in fresh namespaces, forwards signals, exits as the program did
//	└ init    pid 1 inside: mounts, starts the program, reaps orphans
//	  └ program   where Enter returns nil
//
// The program is not pid 1 itself, for two reasons. The kernel ignores default-action signals to pid 1, so that SIGTERM would
// not end a Go program that does not catch it (the runtime then exits with 2 for want of a better idea). And pid 1 must reap
// orphans, which a program that uses exec.Cmd cannot do without stealing from Cmd.Wait.
//
// When any of the three is killed the others go: init dies with outer (Pdeathsig, and a pipe whose other end outer holds), a
// pid namespace dies with its init, and init ends when the program does. Namespaces and mounts die with the last process.
//
// As real root there is no user namespace, so that bpf(2) works. Otherwise the caller becomes root of a new one.
package sandbox
