package scenario

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
)

// The bounds of numbers that packets have. An IPv6 link carries at least 1280 bytes (RFC 8200 section 5), and every scenario
// may be run in IPv6; a datagram's payload has to leave room for its headers.
const (
	leastMTU, mostMTU = 1280, 65535
	mostSize          = 65000
)

var (
	proxyFields       = []string{"detectLocalMode", "detectLocal", "clusterCIDR", "masqueradeAll", "nodePortAddresses", "localhostNodePorts"}
	detectLocalFields = []string{"bridgeInterface", "interfaceNamePrefix"}
)

// primary is kube-proxy's word for the first address of each family (NodePortAddressesPrimary).
const primary = "primary"

// settings reads what the proxies of all nodes are told, in the words of KubeProxyConfiguration.
func (p *parser) settings(v *value) (s cluster.Settings) {
	if v.absent() || !p.is(v, "proxy", proxyFields...) {
		return s
	}
	s.DetectLocalMode = cluster.DetectLocalMode(p.text(v.get("detectLocalMode"), "detectLocalMode"))
	var modes []string
	for _, m := range cluster.DetectLocalModes {
		modes = append(modes, string(m))
	}
	if s.DetectLocalMode != "" && !slices.Contains(modes, string(s.DetectLocalMode)) {
		p.problem(v.at("detectLocalMode"), "%s", unknown("detectLocalMode", string(s.DetectLocalMode), "", modes))
		return s
	}
	misspelt := slices.ContainsFunc(v.fields, func(f field) bool { return !slices.Contains(proxyFields, f.key) })
	if !misspelt { // else the mode may be what is
		p.detectLocal(v, &s)
		s.ClusterCIDRs = p.clusterCIDRs(v, s.DetectLocalMode)
	}
	s.MasqueradeAll = p.flag(v.get("masqueradeAll"), "masqueradeAll", false)
	s.NoLocalhostNodePorts = !p.flag(v.get("localhostNodePorts"), "localhostNodePorts", true)
	list := p.oneOrMore(v.get("nodePortAddresses"), "nodePortAddresses")
	for _, it := range list {
		text := p.text(it, "a range of nodePortAddresses")
		switch {
		case it.kind != stringValue: // reported
		case text == primary && len(list) > 1:
			p.problem(it.Pos, "%q stands alone in nodePortAddresses: kube-proxy takes either it or ranges", primary)
		case text == primary:
			s.Primary = true
		case didYouMean(text, []string{primary}) != "":
			p.problem(it.Pos, "%s", unknown("word", text, " in nodePortAddresses", []string{primary}))
		case p.isPrefix(it.Pos, "a range of nodePortAddresses", text):
			s.NodePortAddresses = append(s.NodePortAddresses, netip.MustParsePrefix(text).Masked())
		}
	}
	return s
}

// interfaceName is what kube-proxy lets pass (pkg/proxy/apis/config/validation: validateInterface), and the kernel.
var interfaceName = regexp.MustCompile(`^[^\s/:]{1,15}$`)

// detectLocal reads by which interfaces pods are told: each has its mode, and each mode of them its field.
func (p *parser) detectLocal(v *value, s *cluster.Settings) {
	d := v.get("detectLocal")
	if !d.absent() && !p.is(d, "detectLocal", detectLocalFields...) {
		return
	}
	for i, mode := range []cluster.DetectLocalMode{cluster.DetectBridgeInterface, cluster.DetectInterfaceNamePrefix} {
		name := detectLocalFields[i]
		f := d.get(name)
		text := p.text(f, name)
		switch {
		case f.absent() && s.DetectLocalMode == mode:
			p.problem(v.at("detectLocalMode"), "detectLocalMode %s does not say which: add for example \"detectLocal: {%s: %s}\"", mode, name, []string{"cbr0", "pod"}[i])
		case !f.absent() && s.DetectLocalMode != mode:
			p.problem(f.Pos, "%s is for \"detectLocalMode: %s\", and the mode is %s", name, mode, modeInForce(s.DetectLocalMode))
		case !f.absent() && f.kind == stringValue && !interfaceName.MatchString(text):
			p.problem(f.Pos, "%s %q is no name of an interface: those have 1 to 15 characters, none of them a blank, \"/\" or \":\"", name, shorten(text))
		case text != "":
			s.Interface = text
		}
	}
}

func modeInForce(m cluster.DetectLocalMode) string {
	if m == "" {
		return string(cluster.DetectNodeCIDR) + ", unless another is written"
	}
	return string(m)
}

// clusterCIDRs reads one range, a list, or kube-proxy's own form: ranges with commas between.
func (p *parser) clusterCIDRs(v *value, mode cluster.DetectLocalMode) (out []netip.Prefix) {
	f := v.get("clusterCIDR")
	switch {
	case f.absent() && mode == cluster.DetectClusterCIDR:
		p.problem(v.at("detectLocalMode"), "detectLocalMode ClusterCIDR has no range: add for example \"clusterCIDR: 10.244.0.0/16\"; what kube-proxy does without one is \"detectLocalMode: None\"")
		return nil
	case !f.absent() && mode != cluster.DetectClusterCIDR:
		p.problem(f.Pos, "clusterCIDR is for \"detectLocalMode: ClusterCIDR\", and the mode is %s", modeInForce(mode))
		return nil
	}
	for _, it := range p.oneOrMore(f, "clusterCIDR") {
		if p.text(it, "clusterCIDR") == "" && it.kind != stringValue {
			continue // reported
		}
		for _, text := range strings.Split(it.text, ",") {
			text = strings.TrimSpace(text)
			if !p.isPrefix(it.Pos, "clusterCIDR", text) {
				continue
			}
			r := netip.MustParsePrefix(text).Masked()
			if slices.ContainsFunc(out, func(o netip.Prefix) bool { return o.Addr().Is4() == r.Addr().Is4() }) {
				p.problem(it.Pos, "clusterCIDR has a second %s range; it can have one a family", familyName(r.Addr()))
				continue
			}
			out = append(out, r)
		}
	}
	return out
}

// flag is true, false, or what holds when it is not written.
func (p *parser) flag(v *value, what string, unwritten bool) bool {
	if v.absent() {
		return unwritten
	}
	if v.kind != boolValue {
		p.problem(v.Pos, "%s must be true or false, not %s", what, v.what())
		return unwritten
	}
	return v.text == "true"
}

// checkSettings warns of nodePortAddresses that no node has any of, so that every NodePort is closed. Nodes whose addresses
// are given out are not known here.
func (p *parser) checkSettings() {
	ranges := p.scenario.Settings.NodePortAddresses
	nodes, contained := 0, slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Addr().IsLoopback() })
	for _, l := range slices.Concat(p.objects, p.inline) {
		if _, ok := l.Object.Object.(*corev1.Node); !ok || !l.sound {
			continue
		}
		nodes++
		own := ownAddresses(l)
		contained = contained || len(own) == 0
		for _, o := range own {
			contained = contained || slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Contains(o.addr) })
		}
	}
	if len(ranges) > 0 && nodes > 0 && !contained {
		p.warn(p.main.at("spec", "proxy", "nodePortAddresses"), "no node has an address in nodePortAddresses %v, so nobody answers at NodePorts", ranges)
	}
}
