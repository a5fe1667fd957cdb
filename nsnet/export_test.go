package nsnet

import "runtime"

// Strand moves the caller as Do does and then finds no way home, as in a kernel out of memory.
func (n *NS) Strand(err error) error {
	runtime.LockOSThread()
	way, leave := leaveHome()
	if leave != nil {
		return leave
	}
	if err := n.enter(); err != nil {
		return err
	}
	way.arrive(n)
	way.fd = -1
	return goHome(n.name, way, err)
}
