package cluster

import (
	"net/netip"
)

// Settings are what an administrator tells the proxies of all nodes, in the words of kube-proxy's KubeProxyConfiguration
// (k8s.io/kube-proxy/config/v1alpha1). The zero value is the default.
type Settings struct {
	DetectLocalMode DetectLocalMode // how a node tells its pods' packets from others; empty: NodeCIDR
	// Interface is the bridge of mode BridgeInterface, and the beginning of the names in mode InterfaceNamePrefix.
	Interface string
	// ClusterCIDRs are the ranges of all pods, at most one a family, of mode ClusterCIDR.
	ClusterCIDRs  []netip.Prefix
	MasqueradeAll bool // masquerade pods to ClusterIPs too (row CIP-7)

	// NodePortAddresses: NodePorts are answered at those addresses of a node that are in one of the ranges. Primary stands
	// for the first address of each family. Without either it is for the proxy's mode to say (Mode.EveryAddress).
	NodePortAddresses []netip.Prefix
	Primary           bool
	// NoLocalhostNodePorts: not at 127.0.0.1, also where the mode would (iptables.localhostNodePorts).
	NoLocalhostNodePorts bool
}

// DetectLocalMode is a word of kube-proxy's.
type DetectLocalMode string

// The modes. DetectNone is svclab's word for what kube-proxy does when it is given no range: nobody is known to be a pod.
const (
	DetectClusterCIDR         DetectLocalMode = "ClusterCIDR"
	DetectNodeCIDR            DetectLocalMode = "NodeCIDR"
	DetectBridgeInterface     DetectLocalMode = "BridgeInterface"
	DetectInterfaceNamePrefix DetectLocalMode = "InterfaceNamePrefix"
	DetectNone                DetectLocalMode = "None"
)

// DetectLocalModes are the modes, in the order of kube-proxy's documentation.
var DetectLocalModes = []DetectLocalMode{DetectClusterCIDR, DetectNodeCIDR, DetectBridgeInterface, DetectInterfaceNamePrefix, DetectNone}

// Mode is what the settings leave to the kind of proxy: kube-proxy's modes have defaults and abilities of their own.
type Mode struct {
	// EveryAddress: where nothing is said of nodePortAddresses, NodePorts are answered at every address of a node (mode
	// iptables, row NP-10); else at the primary ones.
	EveryAddress bool
	// Localhost: NodePorts can be answered at 127.0.0.1 (mode iptables, IPv4, row NP-5).
	Localhost bool
}

// LocalhostNodePorts: NodePorts are answered at 127.0.0.1 (kube-proxy pkg/proxy/iptables/proxier.go: localhostNodePorts and
// a loopback range among the nodePortAddresses, or none given).
func (s Settings) LocalhostNodePorts(m Mode) bool {
	if !m.Localhost || s.NoLocalhostNodePorts || s.Primary {
		return false
	}
	said := false // of IPv4
	for _, p := range s.NodePortAddresses {
		if p.Contains(netip.AddrFrom4([4]byte{127, 0, 0, 1})) {
			return true
		}
		said = said || p.Addr().Is4()
	}
	return !said
}
