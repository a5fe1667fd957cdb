package proxies

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"svclab/proxycore/cluster"
	"svclab/proxycore/foreign"
)

// Processes are our own proxies as processes of their own, fed by an API server as kube-proxy is.
var Processes = []Proxy{
	{Name: "svclab/nftables", Powers: []string{"nftables"}, About: "svclab's own core on nf_tables, as a process of its own: svclab proxy"},
	{Name: "svclab/iptables-nft", Powers: []string{"iptables-nft"}, Mode: iptablesMode, About: "svclab's own core on iptables, which writes to nf_tables, as a process of its own"},
	{Name: "svclab/iptables-legacy", Powers: []string{"iptables-legacy"}, Mode: iptablesMode, About: "svclab's own core on the older ip_tables, as a process of its own"},
}

// processPrefix begins the names of Processes.
const processPrefix = "svclab/"

// process is one of Processes: the profile has every setting as a flag.
func (f Foreign) process(name string) (Proxy, error) {
	i := slices.IndexFunc(Processes, func(p Proxy) bool { return p.Name == name })
	if i < 0 {
		return Find(name) // which says what there is
	}
	self := f.Self
	if self == "" {
		var err error
		if self, err = os.Executable(); err != nil {
			return Proxy{}, fmt.Errorf("proxy %s: find this program: %w", name, err)
		}
	}
	p := Processes[i]
	p.foreign = &foreignProxy{name: name, base: name, own: true, binary: self, log: f.Log, profile: func(s cluster.Settings) (foreign.Profile, error) {
		command := []string{self, "proxy", "--backend=" + strings.TrimPrefix(name, processPrefix), "--api={{.API}}", "--node={{.Name}}",
			"--metrics-bind-address={{.Metrics}}", "--healthz-bind-address={{.Healthz}}"}
		return foreign.Profile{
			Name: name, Command: slices.Concat(command, settingsFlags(s), f.Args), Barrier: foreign.BarrierFeed, Agent: Agent,
		}, nil
	}}
	return p, nil
}

// settingsFlags say the settings to `svclab proxy`.
func settingsFlags(s cluster.Settings) (out []string) {
	add := func(flag, value string) {
		if value != "" {
			out = append(out, "--"+flag+"="+value)
		}
	}
	list := func(ranges []netip.Prefix) string {
		var texts []string
		for _, r := range ranges {
			texts = append(texts, r.String())
		}
		return strings.Join(texts, ",")
	}
	add("detect-local-mode", string(s.DetectLocalMode))
	switch s.DetectLocalMode {
	case cluster.DetectClusterCIDR:
		add("cluster-cidr", list(s.ClusterCIDRs))
	case cluster.DetectBridgeInterface:
		add("pod-bridge-interface", s.Interface)
	case cluster.DetectInterfaceNamePrefix:
		add("pod-interface-name-prefix", s.Interface)
	}
	if s.MasqueradeAll {
		add("masquerade-all", "true")
	}
	if s.Primary {
		add("nodeport-addresses", "primary")
	} else {
		add("nodeport-addresses", list(s.NodePortAddresses))
	}
	if s.NoLocalhostNodePorts {
		add("iptables-localhost-nodeports", "false")
	}
	return out
}
