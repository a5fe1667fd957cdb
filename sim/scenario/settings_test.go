package scenario

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svclab/proxycore/cluster"
)

func settingsFile(proxy string) string {
	return "apiVersion: svclab/v1alpha1\nkind: Scenario\nmetadata: {name: a}\nspec:\n  proxy: " + proxy + "\n  mtu: 1400\n  steps: [{probe: everything}]\n" + `---
{apiVersion: v1, kind: Node, metadata: {name: n}, spec: {podCIDR: 10.244.1.0/24}, status: {addresses: [{type: InternalIP, address: 192.168.7.1}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}]}}
`
}

func ranges(texts ...string) (out []netip.Prefix) {
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

// Each setting, as written and as it is in IPv6.
func TestSettings(t *testing.T) {
	for _, c := range []struct {
		proxy    string
		want, v6 cluster.Settings // v6 without ranges: as want
	}{
		{proxy: "{}"},
		{proxy: "{detectLocalMode: NodeCIDR, localhostNodePorts: true, masqueradeAll: false}", want: cluster.Settings{DetectLocalMode: cluster.DetectNodeCIDR}},
		{proxy: "{detectLocalMode: None, masqueradeAll: true}", want: cluster.Settings{DetectLocalMode: cluster.DetectNone, MasqueradeAll: true}},
		{proxy: "{detectLocalMode: BridgeInterface, detectLocal: {bridgeInterface: cbr0}}", want: cluster.Settings{DetectLocalMode: cluster.DetectBridgeInterface, Interface: "cbr0"}},
		{proxy: "{detectLocalMode: InterfaceNamePrefix, detectLocal: {interfaceNamePrefix: pod}}",
			want: cluster.Settings{DetectLocalMode: cluster.DetectInterfaceNamePrefix, Interface: "pod"}},
		{proxy: `{detectLocalMode: ClusterCIDR, clusterCIDR: 10.244.0.0/16}`,
			want: cluster.Settings{DetectLocalMode: cluster.DetectClusterCIDR, ClusterCIDRs: ranges("10.244.0.0/16")},
			v6:   cluster.Settings{DetectLocalMode: cluster.DetectClusterCIDR, ClusterCIDRs: ranges("fd00:10:244::/48")}},
		{proxy: "{nodePortAddresses: primary, localhostNodePorts: false}", want: cluster.Settings{Primary: true, NoLocalhostNodePorts: true}},
		{proxy: "{nodePortAddresses: [192.168.0.0/16, 127.0.0.0/8]}",
			want: cluster.Settings{NodePortAddresses: ranges("192.168.0.0/16", "127.0.0.0/8")},
			v6:   cluster.Settings{NodePortAddresses: ranges("fd00:192:168::/48", "::1/128")}},
	} {
		s := parsed(t, settingsFile(c.proxy))
		if d := cmp.Diff(s.Settings, c.want, addresses); d != "" || s.MTU != 1400 || len(s.Warnings) > 0 {
			t.Errorf("%s: mtu %d, warnings %v (-got +want):\n%s", c.proxy, s.MTU, s.Warnings, d)
		}
		want6 := c.want
		if len(c.v6.ClusterCIDRs)+len(c.v6.NodePortAddresses) > 0 {
			want6 = c.v6
		}
		if v := s.Variants(); len(v) != 2 {
			t.Errorf("%s: %d variants", c.proxy, len(v))
		} else if d := cmp.Diff(v[1].Settings, want6, addresses); d != "" || v[1].MTU != 1400 {
			t.Errorf("%s in IPv6: mtu %d (-got +want):\n%s", c.proxy, v[1].MTU, d)
		}
	}
	// kube-proxy's own form for two families.
	s := parsed(t, settingsFile(`{detectLocalMode: ClusterCIDR, clusterCIDR: "10.244.0.0/16, fd00::/48"}`))
	if d := cmp.Diff(s.Settings.ClusterCIDRs, ranges("10.244.0.0/16", "fd00::/48"), addresses); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
}

func TestNodePortAddressesOfNobody(t *testing.T) {
	const says = "u.yaml:5:30: no node has an address in nodePortAddresses [10.0.0.0/8], so nobody answers at NodePorts"
	for proxy, want := range map[string]string{
		"{nodePortAddresses: 10.0.0.0/8}":                   says,
		"{nodePortAddresses: 192.168.7.0/24}":               "",
		"{nodePortAddresses: [10.0.0.0/8, 192.168.7.0/24]}": "",
		"{nodePortAddresses: 127.0.0.0/8}":                  "",
		"{nodePortAddresses: primary}":                      "",
	} {
		s, err := Parse("u.yaml", []byte(settingsFile(proxy)))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, w := range s.Warnings {
			got += w.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", proxy, got, want)
		}
	}
	// An address that is given out is not known here.
	s := parsed(t, strings.Replace(settingsFile("{nodePortAddresses: 10.0.0.0/8}"), ", status: {addresses: [{type: InternalIP, address: 192.168.7.1}]}", "", 1))
	if len(s.Warnings) > 0 {
		t.Errorf("%v", s.Warnings)
	}
}
