package wire

import (
	"context"
	"strings"
	"testing"
	"time"
)

// Ready waits for what is under way, and says what it waits for when that does not come.
func TestReady(t *testing.T) {
	node, pod := newNode(t, "node"), newPod(t, "pod")
	ok(t, PodLink(node, pod, PodLinkOptions{NodeDev: "veth0", V4: addr("10.0.1.1"), V6: addr("fd00:1::1")}))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ok(t, Ready(ctx, node, "veth0"), Ready(ctx, pod, "eth0", addr("10.0.1.1"), addr("fd00:1::1")))

	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := Ready(short, pod, "eth0", addr("fd00:1::2")); err != context.DeadlineExceeded {
		t.Errorf("an address that nobody gave: %v", err)
	}
	if err := Ready(ctx, pod, "eth1"); err == nil || !strings.Contains(err.Error(), "wait for device eth1 in namespace pod: ") {
		t.Errorf("a device that is not there: %v", err)
	}
}
