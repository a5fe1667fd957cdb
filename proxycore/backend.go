package proxycore

import (
	"context"
	"net/netip"
)

// Change is what a Backend must do to go from what it has to what is wanted.
type Change struct {
	// Full: Node and Add are the whole wanted state. The backend reads the kernel again and reconciles, without a gap
	// for what stays. The first change of a backend is Full, and so is the one after a failed Program.
	Full bool
	Node *NodeRules // nil: as before

	// Each Front is in at most one of the three. Remove names fronts that the backend has, Add such that it has not,
	// Replace such that it has, as they are to be.
	Remove, Add, Replace []Route
}

// Backend makes one node's kernel forward as it is told. Methods are called by one goroutine at a time.
type Backend interface {
	// Program puts the change in force: when it returns nil, every new flow follows it. Where it must be split, every
	// Service is whole at every boundary. After an error the kernel holds the old state, the new one, or whole
	// Services of both; the next Program must be Full.
	Program(ctx context.Context, c Change) error
	// Dump reads the kernel and prints what it does as canonical sorted text, one line a front (FormatRoute). No slots,
	// handles or affinity entries: two kernels that serve alike dump alike.
	Dump(ctx context.Context) (string, error)
	// Check reads the kernel and verifies what Dump hides; the error names what is wrong.
	Check(ctx context.Context) error
	// Close leaves nothing of ours behind and touches nothing of others. It may be called twice.
	Close() error
}

// Namer is optional to a Backend: it says in the words of the kernel which rule and element send a flow to a front
// to that endpoint: "table ip svclab, chain lb-2, map endpoints".
type Namer interface {
	RuleFor(f Front, to netip.AddrPort) (string, bool)
}

// Guard is optional to a Backend that can tell at no cost whether somebody else may have touched the kernel's rules, its own
// or others', since the last Full change, or Check that found nothing wrong.
type Guard interface {
	Touched(ctx context.Context) (bool, error)
}

// Meter is optional to a Backend that counts what it tells the kernel. It may be asked at any time, by anybody, at no cost.
type Meter interface {
	// Sent is how much has been put in force since the backend was opened: bytes, as they went to the kernel, and
	// transactions. What the kernel did not take is not counted.
	Sent() (bytes, transactions uint64)
}

// Cleaner removes connection-tracking entries that would keep a client on an endpoint that is gone. It works beside a
// Backend and after it: entries are removed once the new rules are in force (kubernetes/kubernetes #104151).
type Cleaner interface {
	// Clean looks at the UDP entries whose original destination is one of the fronts and removes those that lead to
	// none of the addresses given for it. No addresses: all of them. It touches nothing else.
	Clean(ctx context.Context, keep map[Front][]netip.AddrPort) error
	Close() error
}
