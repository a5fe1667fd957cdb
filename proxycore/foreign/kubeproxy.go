package foreign

import (
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"svclab/proxycore/cluster"
)

// kubeProxyAgent is the product that kube-proxy names in its requests, and those who have its metrics.
const kubeProxyAgent = "kube-proxy"

// KubeProxy says which kube-proxy to run and how.
type KubeProxy struct {
	Binary string // required
	Mode   string // required: "nftables", "iptables" or "ipvs"
	// Settings are what the proxies of all nodes are told; Config may say otherwise.
	Settings cluster.Settings
	// Config is optional: fields of a KubeProxyConfiguration that are taken over. Those by which the lab reaches it, and it
	// the lab, are the lab's.
	Config map[string]any
	Gates  map[string]bool // optional: feature gates
	Args   []string        // optional: further arguments
	// Legacy: mode iptables uses the legacy commands, under their plain names.
	Legacy bool
	// Cramped: a restore of iptables-nft may have some 250 rules only, as without privilege, since it does not raise its
	// send buffer then. Where kube-proxy would write more, mode iptables uses the legacy commands, if they are there.
	Cramped bool
}

// Profile is that of this kube-proxy.
func (k KubeProxy) Profile() (Profile, error) {
	config := map[string]any{}
	merge(config, map[string]any{
		"conntrack": map[string]any{ // the machine's limits are not the lab's to set
			"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
		},
		// Syncs follow changes almost at once: how they are bundled is seen at scale, not in every scenario. Of 0s kube-proxy
		// makes a second.
		"iptables": map[string]any{"minSyncPeriod": "10ms", "syncPeriod": "1s"}, // and so often it looks for its canary chain
		"nftables": map[string]any{"minSyncPeriod": "10ms"},
		"ipvs":     map[string]any{"minSyncPeriod": "10ms"},
	})
	merge(config, configuration(k.Settings))
	merge(config, k.Config)
	if len(k.Gates) > 0 {
		gates := map[string]any{}
		for name, on := range k.Gates {
			gates[name] = on
		}
		merge(config, map[string]any{"featureGates": gates})
	}
	merge(config, map[string]any{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
		"mode": k.Mode, "hostnameOverride": "{{.Name}}",
		"clientConnection":   map[string]any{"kubeconfig": "{{.Kubeconfig}}"},
		"metricsBindAddress": "{{.Metrics}}", "healthzBindAddress": "{{.Healthz}}",
	})
	text, err := yaml.Marshal(config)
	if err != nil {
		return Profile{}, fmt.Errorf("write the configuration of kube-proxy: %w", err)
	}
	p := Profile{
		Name:    "kube-proxy/" + k.Mode,
		Command: append([]string{k.Binary, "--config={{.Dir}}/config.yaml", "--v=2"}, k.Args...),
		Files:   map[string]string{"config.yaml": string(text)},
		Barrier: BarrierKubeProxy,
	}
	if mode, ok := config[k.Mode].(map[string]any); ok {
		period := fmt.Sprint(mode["minSyncPeriod"])
		if p.Between, err = time.ParseDuration(period); err != nil {
			return Profile{}, fmt.Errorf("%s.minSyncPeriod of kube-proxy's configuration: %q is no duration such as 1s", k.Mode, period)
		}
	}
	if k.Mode == "iptables" {
		flavour := "nft"
		if k.Legacy {
			flavour = "legacy"
		}
		if p.Links, err = commands(flavour); err != nil {
			return Profile{}, err
		}
		if legacy, err := commands("legacy"); err == nil && k.Cramped && !k.Legacy {
			p.Crowded = &Crowd{crampedRules, legacy}
		}
	}
	return p, nil
}

// configuration is the part of a KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1) that says these settings.
func configuration(s cluster.Settings) map[string]any {
	section := func() map[string]any { return map[string]any{"masqueradeAll": s.MasqueradeAll} }
	out := map[string]any{"detectLocalMode": string(s.DetectLocalMode), "iptables": section(), "nftables": section()}
	out["iptables"].(map[string]any)["localhostNodePorts"] = !s.NoLocalhostNodePorts
	switch s.DetectLocalMode {
	case "":
		out["detectLocalMode"] = string(cluster.DetectNodeCIDR) // whatever addresses the nodes' pods have, one range covers those of a node
	case cluster.DetectClusterCIDR:
		out["clusterCIDR"] = strings.Join(texts(s.ClusterCIDRs), ",")
	case cluster.DetectNone: // has no word: it is the mode ClusterCIDR without a range (cmd/kube-proxy/app/server_linux.go: getLocalDetectors)
		out["detectLocalMode"] = string(cluster.DetectClusterCIDR)
	case cluster.DetectBridgeInterface:
		out["detectLocal"] = map[string]any{"bridgeInterface": s.Interface}
	case cluster.DetectInterfaceNamePrefix:
		out["detectLocal"] = map[string]any{"interfaceNamePrefix": s.Interface}
	}
	switch {
	case s.Primary:
		out["nodePortAddresses"] = []string{"primary"}
	case len(s.NodePortAddresses) > 0:
		out["nodePortAddresses"] = texts(s.NodePortAddresses)
	}
	return out
}

func texts(ranges []netip.Prefix) (out []string) {
	for _, r := range ranges {
		out = append(out, r.String())
	}
	return out
}

// crampedRules is well below what fails with "Message too long".
const crampedRules = 150

// commands are the plain names of iptables' commands, and what they stand for in a flavour.
func commands(flavour string) (map[string]string, error) {
	links := map[string]string{}
	for _, c := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			path, err := exec.LookPath(c + "-" + flavour + suffix)
			if err != nil {
				return nil, fmt.Errorf("find %s-%s%s: %w; install it with: apt-get install iptables", c, flavour, suffix, err)
			}
			links[c+suffix] = path
		}
	}
	return links, nil
}

// merge writes from's fields into to, maps field by field.
func merge(to, from map[string]any) {
	for name, v := range from {
		if deeper, ok := v.(map[string]any); ok {
			if have, ok := to[name].(map[string]any); ok {
				copied := maps.Clone(have)
				merge(copied, deeper)
				to[name] = copied
				continue
			}
		}
		to[name] = v
	}
}
