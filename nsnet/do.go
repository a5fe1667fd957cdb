package nsnet

import (
	"errors"
	"os"
	"runtime"
)

// Do runs f in the namespace, on the caller's own goroutine, and returns what f returns.
//
// f is short, straight code: make a socket, start a command, write a sysctl. It never starts a goroutine that does such
// things (it would run on another thread, in another namespace) and never waits for one.
//
// Whatever f does, return, panic or runtime.Goexit, the thread goes back to where it was: calls may be nested, and a
// goroutine that holds a thread in a namespace on purpose finds it there again. Nested calls for one and the same namespace move
// nobody and cost nothing, so whoever has much to do in a namespace goes there once. Should going back be impossible, the thread
// stays locked to the goroutine and dies with it, and the error is an *Error whose Op is "leave": the goroutine should end.
func (n *NS) Do(f func() error) error {
	runtime.LockOSThread()
	if inside(n) {
		defer runtime.UnlockOSThread()
		if !n.isOpen() {
			return &Error{"enter", n.name, os.ErrClosed}
		}
		return f()
	}
	runtime.UnlockOSThread()
	return visit(n, "enter", n.enter, f)
}

// visit is the dance: lock, remember, enter, call, go back, and unlock only when back. op names the step that enter is.
func visit(n *NS, op string, enter, f func() error) (err error) {
	runtime.LockOSThread()
	way, err := leaveHome()
	if err != nil {
		runtime.UnlockOSThread()
		return &Error{op, n.name, err}
	}
	defer func() { err = goHome(n.name, way, err) }() // deferred: f may panic or end the goroutine
	if err := enter(); err != nil {
		return &Error{op, n.name, err}
	}
	way.arrive(n)
	counted.visits.Add(1)
	return f()
}

// goHome restores the thread and unlocks it, or leaves it locked. It adds to err rather than hide it.
func goHome(name string, way wayHome, err error) error {
	if back := way.back(); back != nil {
		return errors.Join(err, &Error{"leave", name, back})
	}
	runtime.UnlockOSThread()
	return err
}
