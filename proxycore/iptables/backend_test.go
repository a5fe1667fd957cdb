package iptables

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"svclab/nsnet"
	"svclab/proxycore"
	"svclab/proxycore/backendtest"
)

func TestBackend(t *testing.T) {
	eachFlavour(t, func(t *testing.T, flavour string) {
		backendtest.Run(t, func(t *testing.T) backendtest.Kernel { return kernelOf(t, Options{Flavour: flavour}) })
	})
}

// foreign is what others have in the chains that we share with them.
func foreign(t *testing.T, ns *nsnet.NS, flavour string) {
	for _, c := range []string{"iptables-" + flavour, "ip6tables-" + flavour} {
		cmd := exec.Command(c+"-restore", "--noflush")
		cmd.Stdin = strings.NewReader(`*nat
:KUBE-SERVICES - [0:0]
:SVCLABS - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A POSTROUTING -j SVCLABS
-A KUBE-SERVICES -p tcp --dport 7 -m comment --comment SVCLAB-X -j RETURN
COMMIT
*filter
:KUBE-FORWARD - [0:0]
-A FORWARD -j KUBE-FORWARD
-A INPUT -p udp --dport 9 -j ACCEPT
COMMIT
*mangle
-A PREROUTING -p udp --dport 9 -j ACCEPT
COMMIT
`)
		if _, err := ns.Run(cmd); err != nil {
			t.Fatal(err)
		}
	}
}

func kernelOf(t *testing.T, o Options) backendtest.Kernel {
	ns := namespace(t)
	foreign(t, ns, o.Flavour)
	o.Run = ns.Do
	return backendtest.Kernel{
		Open: func() (proxycore.Backend, error) { return New(o) },
		Strangers: func() (string, error) {
			var out strings.Builder
			for _, c := range []string{"iptables-", "ip6tables-"} {
				for line := range strings.Lines(rules(t, ns, c+o.Flavour+"-save")) {
					words := strings.Fields(line)
					ours := strings.HasPrefix(words[0], ":") && isOurs(words[0][1:]) || words[0] == "-A" && isOurs(words[1]) ||
						isOurs(words[len(words)-1])
					if !ours {
						out.WriteString(line)
					}
				}
			}
			return out.String(), nil
		},
		Fault: func(b proxycore.Backend, n int) {
			fault := func() error {
				if n < 0 {
					return nil
				}
				if n--; n < 0 {
					n = 0
					return errors.New("no kernel today")
				}
				return nil
			}
			for _, s := range b.(*Backend).sides {
				s.tool.fault = fault
			}
		},
	}
}
