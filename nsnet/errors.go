package nsnet

import "fmt"

// Error says which step of handling a namespace went wrong: "enter namespace pod/web-1: bad file descriptor".
// Whatever the function given to Do returns is handed back as it is, so errors.As tells the two apart.
type Error struct {
	Op   string // make, open, enter, leave, close
	Name string // of the namespace
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s namespace %s: %v", e.Op, e.Name, e.Err) }

func (e *Error) Unwrap() error { return e.Err }
