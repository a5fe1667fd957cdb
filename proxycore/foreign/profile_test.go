package foreign

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"svclab/proxycore/cluster"
)

func TestParseProfile(t *testing.T) {
	const head = "apiVersion: svclab/v1alpha1\nkind: ProxyProfile\n"
	for text, want := range map[string]string{
		"":                     "p.yaml:1:1: the file is empty: a profile needs apiVersion, kind and command",
		"kind: [":              "p.yaml:1:1: did not find expected node content",
		"kind: ProxyProfile\n": `p.yaml:1:1: unknown apiVersion "" of a profile: write "svclab/v1alpha1"`,
		"apiVersion: svclab/v1alpha1\nkind: Proxy\n": `p.yaml:2:7: unknown kind "Proxy": write "ProxyProfile"`,
		head:                                `p.yaml:1:1: the profile has no command: write for example "command: [my-proxy, --kubeconfig={{.Kubeconfig}}]"`,
		head + "command: [a]\nbarrier: b\n": `p.yaml:4:10: unknown barrier "b": write "kube-proxy" for a proxy with kube-proxy's metrics, or leave it out`,
		head + "comand: [a]\n":              "p.yaml:3:1: field comand not found; known: apiVersion, kind, name, command, env, files, links, ready, barrier, cleanup, needs",
		head + "command: ['{{.Nod}}']\n":    `p.yaml:3:10: command: template: command:1:2: executing "command" at <.Nod>: can't evaluate field Nod in type foreign.Node; a template may say .Name, .IPs, .PodCIDRs, .ClusterCIDRs, .Settings, .API, .Kubeconfig, .Dir, .Metrics and .Healthz`,
		head + "command: [my-proxy, '{{.Kubeconfig}}']\n": "",
	} {
		_, err := ParseProfile("p.yaml", []byte(text))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if d := cmp.Diff(got, want); d != "" {
			t.Errorf("%q (-got +want):\n%s", text, d)
		}
	}
}

func TestRender(t *testing.T) {
	p := Profile{Command: []string{"/bin/p", "--node={{.Name}}"}, Env: map[string]string{"API": "{{.API}}"}, Files: map[string]string{"c": "{{.Kubeconfig}} {{range .PodCIDRs}}{{.}} {{end}}"}}
	got, err := p.render(Node{Name: "n", API: "http://127.0.0.1:1", Dir: "/d", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}})
	if err != nil {
		t.Fatal(err)
	}
	if got.command[1] != "--node=n" || got.env[0] != "API=http://127.0.0.1:1" || got.files["c"] != "/d/kubeconfig 10.1.0.0/24 " {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(got.files["kubeconfig"], `server: "http://127.0.0.1:1"`) {
		t.Errorf("kubeconfig:\n%s", got.files["kubeconfig"])
	}
}

// What the lab needs is the lab's, the rest is taken over.
func TestKubeProxyConfig(t *testing.T) {
	p, err := KubeProxy{Binary: "/kp", Mode: "nftables", Gates: map[string]bool{"A": true}, Args: []string{"-v=4"}, Config: map[string]any{
		"mode": "ipvs", "metricsBindAddress": "0.0.0.0:1", "nftables": map[string]any{"minSyncPeriod": "2s", "masqueradeAll": true},
	}}.Profile()
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := yaml.Unmarshal([]byte(p.Files["config.yaml"]), &c); err != nil {
		t.Fatal(err)
	}
	nft := c["nftables"].(map[string]any)
	if c["mode"] != "nftables" || c["metricsBindAddress"] != "{{.Metrics}}" || nft["masqueradeAll"] != true || nft["minSyncPeriod"] != "2s" ||
		c["featureGates"].(map[string]any)["A"] != true || p.Between.Seconds() != 2 || p.Command[len(p.Command)-1] != "-v=4" {
		t.Errorf("%v %+v", c, p)
	}
	if c["detectLocalMode"] != "NodeCIDR" || c["nodePortAddresses"] != nil || c["clusterCIDR"] != nil || c["iptables"].(map[string]any)["localhostNodePorts"] != true {
		t.Errorf("without settings: %v", c)
	}
	_, err = KubeProxy{Binary: "/kp", Mode: "nftables", Config: map[string]any{"nftables": map[string]any{"minSyncPeriod": "soon"}}}.Profile()
	if err == nil || err.Error() != `nftables.minSyncPeriod of kube-proxy's configuration: "soon" is no duration such as 1s` {
		t.Errorf("%v", err)
	}
}

// Every setting becomes the field of that name, and a configuration that is given says otherwise.
func TestKubeProxySettings(t *testing.T) {
	ranges := []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00::/48")}
	off := map[string]any{"masqueradeAll": false}
	for _, c := range []struct {
		settings cluster.Settings
		want     map[string]any
	}{
		{cluster.Settings{DetectLocalMode: cluster.DetectNodeCIDR, ClusterCIDRs: ranges}, map[string]any{"detectLocalMode": "NodeCIDR"}},
		{cluster.Settings{DetectLocalMode: cluster.DetectClusterCIDR, ClusterCIDRs: ranges},
			map[string]any{"detectLocalMode": "ClusterCIDR", "clusterCIDR": "10.244.0.0/16,fd00::/48"}},
		{cluster.Settings{DetectLocalMode: cluster.DetectNone, ClusterCIDRs: ranges}, map[string]any{"detectLocalMode": "ClusterCIDR"}},
		{cluster.Settings{DetectLocalMode: cluster.DetectBridgeInterface, Interface: "cbr0"},
			map[string]any{"detectLocalMode": "BridgeInterface", "detectLocal": map[string]any{"bridgeInterface": "cbr0"}}},
		{cluster.Settings{DetectLocalMode: cluster.DetectInterfaceNamePrefix, Interface: "pod"},
			map[string]any{"detectLocalMode": "InterfaceNamePrefix", "detectLocal": map[string]any{"interfaceNamePrefix": "pod"}}},
		{cluster.Settings{Primary: true, NoLocalhostNodePorts: true}, map[string]any{
			"detectLocalMode": "NodeCIDR", "nodePortAddresses": []string{"primary"}, "iptables": map[string]any{"masqueradeAll": false, "localhostNodePorts": false}}},
		{cluster.Settings{NodePortAddresses: ranges, MasqueradeAll: true}, map[string]any{
			"detectLocalMode": "NodeCIDR", "nodePortAddresses": []string{"10.244.0.0/16", "fd00::/48"},
			"nftables": map[string]any{"masqueradeAll": true}, "iptables": map[string]any{"masqueradeAll": true, "localhostNodePorts": true}}},
	} {
		for name, section := range map[string]map[string]any{"nftables": off, "iptables": {"masqueradeAll": false, "localhostNodePorts": true}} {
			if c.want[name] == nil {
				c.want[name] = section
			}
		}
		if d := cmp.Diff(configuration(c.settings), c.want); d != "" {
			t.Errorf("%+v (-got +want):\n%s", c.settings, d)
		}
	}
	p, err := KubeProxy{Binary: "/kp", Mode: "nftables", Settings: cluster.Settings{MasqueradeAll: true}, Config: map[string]any{
		"detectLocalMode": "BridgeInterface", "nftables": map[string]any{"masqueradeAll": false},
	}}.Profile()
	var c map[string]any
	if err = errors.Join(err, yaml.Unmarshal([]byte(p.Files["config.yaml"]), &c)); err != nil {
		t.Fatal(err)
	}
	if c["detectLocalMode"] != "BridgeInterface" || c["nftables"].(map[string]any)["masqueradeAll"] != false || c["nftables"].(map[string]any)["minSyncPeriod"] != "10ms" {
		t.Errorf("the given configuration does not win: %v", c)
	}
}
