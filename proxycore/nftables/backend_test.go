package nftables

import (
	"errors"
	"testing"

	"svclab/proxycore"
	"svclab/proxycore/backendtest"
)

func TestBackend(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.Kernel { return kernel(t, Options{}) })
}

// The same with transactions as small as they can be.
func TestBackendInSmallTransactions(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.Kernel { return kernel(t, Options{MaxTransaction: 1}) })
}

func kernel(t *testing.T, o Options) backendtest.Kernel {
	ns := namespace(t)
	o.NetNS = ns.FD()
	nft(t, ns, "add table ip kube-proxy")
	nft(t, ns, "add chain ip kube-proxy svclab")
	nft(t, ns, "add table inet svclab")
	return backendtest.Kernel{
		Open: func() (proxycore.Backend, error) { return New(o) },
		Strangers: func() (string, error) {
			return nft(t, ns, "list table ip kube-proxy") + nft(t, ns, "list table inet svclab"), nil
		},
		Fault: func(b proxycore.Backend, n int) {
			b.(*Backend).fault = func() error {
				if n < 0 {
					return nil
				}
				if n--; n < 0 {
					n = 0
					return errors.New("no kernel today")
				}
				return nil
			}
		},
	}
}
