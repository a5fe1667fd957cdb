package rig_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"svclab/nsnet/nstest"
	"svclab/sim/bench/load"
	"svclab/sim/bench/rig"
	"svclab/sim/proxies"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// TestEveryEndpointAnswers asks endpoints near and far, directly and through a Service, and hears who they are.
func TestEveryEndpointAnswers(t *testing.T) {
	nstest.Need(t, "nftables", "veth", "bridge")
	for _, proto := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
		t.Run(string(proto), func(t *testing.T) {
			proxy, err := proxies.Find("nftables")
			if err != nil {
				t.Fatal(err)
			}
			r, err := rig.Open(t.Context(), &proxy)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}()
			c := load.New(load.Shape{Services: 3, Endpoints: load.Each(4), Near: 500, Protocol: proto})
			if err := r.Apply(t.Context(), c.Snapshot()); err != nil {
				t.Fatal(err)
			}
			for _, e := range []int{0, 11, c.Fresh(0), c.Fresh(999)} {
				if got := ask(t, r, proto, c.Endpoint(e)); got != c.Endpoint(e) {
					t.Errorf("endpoint %v says that it is %v", c.Endpoint(e), got)
				}
			}
			of := map[netip.AddrPort]bool{}
			for _, e := range c.EndpointsOf(2) {
				of[c.Endpoint(e)] = true
			}
			if got := ask(t, r, proto, load.Front(2)); !of[got] {
				t.Errorf("Service 2 was answered by %v, which is none of %v", got, of)
			}
		})
	}
}

func ask(t *testing.T, r *rig.Rig, proto corev1.Protocol, to netip.AddrPort) netip.AddrPort {
	t.Helper()
	network := map[corev1.Protocol]string{corev1.ProtocolTCP: "tcp4", corev1.ProtocolUDP: "udp4"}[proto]
	var c net.Conn
	err := r.Client().Do(func() (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		c, err = (&net.Dialer{}).DialContext(ctx, network, to.String())
		return err
	})
	if err != nil {
		t.Fatalf("%s %v: %v", network, to, err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	message := make([]byte, rig.MessageSize)
	copy(message, "abcdefgh")
	if _, err := c.Write(message); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, message); err != nil {
		t.Fatalf("%s %v: %v", network, to, err)
	}
	if !bytes.HasPrefix(message, []byte("abcdefgh")) {
		t.Fatalf("%v answered %q", to, message)
	}
	return rig.ServerOf(message)
}
