package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"svclab/proxycore/cluster"
	"svclab/sim/proxies"
)

// proxyFlags are what `svclab proxy` was asked for, in kube-proxy's words where it has them.
type proxyFlags struct {
	proxies.Process
	healthz, metrics   address
	detect             string
	bridge, prefix     string
	clusterCIDR, ports []string
	localhost          bool
	verbose, cleanup   bool
}

func proxyCommand() *cobra.Command {
	f := &proxyFlags{
		healthz: address{netip.MustParseAddrPort("0.0.0.0:10256")}, metrics: address{netip.MustParseAddrPort("127.0.0.1:10249")},
	}
	c := &cobra.Command{
		Use:   "proxy --api URL",
		Short: "Be the Service proxy of this machine: svclab's own core, fed by an API server",
		Long: `Be the Service proxy of the network namespace in which it is started: svclab's own core as a process of its own, fed by a
Kubernetes API server, as kube-proxy is. What it writes stays in force when it ends, so that its successor takes it over without
a packet lost; --cleanup removes it.

It does not make a sandbox. It needs the right to write rules (CAP_NET_ADMIN), and no kube-proxy beside it.`,
		Example: `  kubectl proxy &
  svclab proxy --api http://127.0.0.1:8001 --node node-1
  svclab proxy --backend iptables-nft --api https://10.0.0.1:6443 --ca ca.crt --token-file token
  svclab proxy --backend nftables --cleanup`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.complete(c); err != nil {
				return exitError{exitUsage, err}
			}
			if f.cleanup {
				if err := f.Cleanup(); err != nil {
					return exitError{exitNothing, err}
				}
				return nil
			}
			if err := f.Run(c.Context()); caught(c.Context()) == 0 {
				return exitError{exitNothing, err}
			}
			return exitError{0, nil} // main says which signal it was
		},
	}
	fl := c.Flags()
	var backends []string
	for _, p := range proxies.All {
		backends = append(backends, p.Name)
	}
	fl.StringVar(&f.Backend, "backend", "nftables", "what writes the rules: "+strings.Join(backends, ", ")+", or iptables, which is what the machine calls so")
	complete(c, "backend", backends)
	fl.StringVar(&f.Feed.API, "api", "", "the URL of the API server: http://127.0.0.1:8001, where kubectl proxy answers, or https")
	fl.StringVar(&f.Feed.Node, "node", "", "the name of the node (default: that of the machine)")
	fl.StringVar(&f.Feed.CA, "ca", "", "a file with the certificates that an https server may show (default: the machine's)")
	fl.StringVar(&f.Feed.TokenFile, "token-file", "", "a file with a bearer token for the API server")
	fl.DurationVar(&f.Feed.Resync, "resync", 0, "how often everything is listed anew, though nothing asks for it; 0 is never")
	fl.Var(&f.metrics, "metrics-bind-address", "where /metrics and /proxyMode are answered; empty: nowhere")
	fl.Var(&f.healthz, "healthz-bind-address", "where /healthz and /livez are answered; empty: nowhere")
	modes := make([]string, 0, len(cluster.DetectLocalModes))
	for _, m := range cluster.DetectLocalModes {
		modes = append(modes, string(m))
	}
	f.detect = string(cluster.DetectNodeCIDR)
	fl.Var(choice{&f.detect, modes}, "detect-local-mode", "how this node tells its pods' packets from others: "+strings.Join(modes, ", "))
	complete(c, "detect-local-mode", modes)
	fl.StringSliceVar(&f.clusterCIDR, "cluster-cidr", nil, "the ranges of all pods, of mode ClusterCIDR")
	fl.StringVar(&f.bridge, "pod-bridge-interface", "", "the bridge of mode BridgeInterface")
	fl.StringVar(&f.prefix, "pod-interface-name-prefix", "", "how the names begin in mode InterfaceNamePrefix")
	fl.BoolVar(&f.Settings.MasqueradeAll, "masquerade-all", false, "pods, too, reach ClusterIPs with the node's address")
	fl.StringSliceVar(&f.ports, "nodeport-addresses", nil, "ranges of the node's addresses that answer at NodePorts, or primary")
	fl.BoolVar(&f.localhost, "iptables-localhost-nodeports", true, "NodePorts are answered at 127.0.0.1, by a backend that can")
	fl.BoolVar(&f.cleanup, "cleanup", false, "remove what a proxy with this backend has written, and end")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "log every state that is put in force")
	return c
}

// complete checks what was written, and fills in what was not.
func (f *proxyFlags) complete(c *cobra.Command) error {
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	f.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	f.Healthz, f.Metrics = f.healthz.AddrPort, f.metrics.AddrPort
	f.Feed.Agent = proxies.Agent + "/" + thisVersion().Version
	s := &f.Settings
	s.DetectLocalMode, s.NoLocalhostNodePorts = cluster.DetectLocalMode(f.detect), !f.localhost
	switch s.DetectLocalMode {
	case cluster.DetectBridgeInterface:
		s.Interface = f.bridge
	case cluster.DetectInterfaceNamePrefix:
		s.Interface = f.prefix
	}
	var err error
	if s.ClusterCIDRs, err = ranges("cluster-cidr", f.clusterCIDR); err != nil {
		return err
	}
	if s.Primary = len(f.ports) == 1 && f.ports[0] == "primary"; !s.Primary {
		if s.NodePortAddresses, err = ranges("nodeport-addresses", f.ports); err != nil {
			return err
		}
	}
	if f.Feed.Node == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("--node: %w", err)
		}
		f.Feed.Node = strings.ToLower(name)
	}
	if f.cleanup && !c.Flags().Changed("api") {
		f.Feed.API = "http://127.0.0.1" // nobody is asked
	}
	return f.Check()
}

func ranges(flag string, texts []string) (out []netip.Prefix, err error) {
	for _, t := range texts {
		p, ok := cluster.ParsePrefix(t)
		if !ok {
			return nil, fmt.Errorf("--%s: %q is no range: write for example 10.244.0.0/16", flag, t)
		}
		out = append(out, p)
	}
	return out, nil
}

// address is a flag that takes an address and a port, or nothing.
type address struct{ netip.AddrPort }

func (a *address) Type() string { return "address:port" }

func (a *address) String() string {
	if !a.IsValid() {
		return ""
	}
	return a.AddrPort.String()
}

func (a *address) Set(text string) error {
	if text == "" {
		a.AddrPort = netip.AddrPort{}
		return nil
	}
	at, err := netip.ParseAddrPort(text)
	if err != nil || at.Addr().Zone() != "" {
		return fmt.Errorf("must be an address and a port, such as 127.0.0.1:10249 or [::1]:10249")
	}
	a.AddrPort = at
	return nil
}
