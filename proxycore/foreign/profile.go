package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"text/template"
	"time"

	"svclab/proxycore/cluster"
)

// Profile says how to run a proxy. Every text may be a template (text/template) of Node.
type Profile struct {
	Name    string            // for messages
	Command []string          // the program, by its absolute path or found in PATH, and its arguments
	Env     map[string]string // beside the environment of svclab itself
	Files   map[string]string // written into a folder of its own, {{.Dir}}, before it starts; "kubeconfig" is there anyway
	Ready   string            // a URL on the node that answers 200 when the proxy is ready; empty: when it runs
	Barrier string            // BarrierKubeProxy, BarrierFeed, or empty: it cannot tell when a state is in force
	Agent   string            // with a barrier: the product that it names in its requests; empty: kube-proxy
	Cleanup []string          // a command that removes its rules when the lab is taken down; empty: none

	Between time.Duration // BarrierKubeProxy: a sync begins no sooner after another (minSyncPeriod)
	Needs   []string      // powers that the machine must have (sandbox.Powers)

	// Crowded are Links instead when the first state asks for more than so many rules of iptables; nil: none.
	Crowded *Crowd

	// Links are made in the folder {{.Dir}}/bin, which comes first in PATH: name → program.
	Links map[string]string
}

// Crowd is what a proxy finds in PATH when there is much to write.
type Crowd struct {
	Rules int
	Links map[string]string
}

// rules is about how many kube-proxy writes for a state in table nat, in its mode iptables: for each port of a Service one
// and its chain's first, for each endpoint three (kubernetes pkg/proxy/iptables/proxier.go).
func rules(s *cluster.Snapshot) (n int) {
	for svc := range s.Services() {
		ports := len(svc.Object.Spec.Ports)
		n += 2 * ports
		for slice := range s.Slices(svc.Key) {
			n += 3 * ports * len(slice.Object.Endpoints)
		}
	}
	return n
}

// The barriers read metrics at {{.Metrics}}. BarrierKubeProxy reads kube-proxy's. BarrierFeed reads svclab's own, which say how
// many objects and events of each resource are in force: it needs no clock and no second reading.
const (
	BarrierKubeProxy = "kube-proxy"
	BarrierFeed      = "feed"
)

// agent is whom the API server has handed what.
func (p Profile) agent() string {
	if p.Agent != "" {
		return p.Agent
	}
	return kubeProxyAgent
}

// Node is what a profile's templates may say.
type Node struct {
	Name         string           // the node's
	IPs          []netip.Addr     // its addresses
	PodCIDRs     []netip.Prefix   // of its pods
	ClusterCIDRs []netip.Prefix   // of all nodes' pods
	Settings     cluster.Settings // what the proxies of all nodes are told
	API          string           // the URL of the API server: plain HTTP on a loopback address
	Dir          string           // the proxy's own folder
	Metrics      netip.AddrPort   // a free port of the node, for the proxy's metrics
	Healthz      netip.AddrPort   // another, for its health
}

// Kubeconfig is the path of a kubeconfig that leads to the API server.
func (n Node) Kubeconfig() string { return filepath.Join(n.Dir, "kubeconfig") }

// plan is a profile with its templates filled in.
type plan struct {
	command, env, cleanup []string
	files, links          map[string]string
	ready                 string
}

const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: svclab, cluster: {server: "{{.API}}"}}]
contexts: [{name: svclab, context: {cluster: svclab, user: svclab}}]
users: [{name: svclab, user: {}}]
current-context: svclab
`

func (p Profile) render(n Node) (plan, error) {
	out := plan{files: map[string]string{}, links: map[string]string{}}
	var errs []error
	fill := func(what, text string) string {
		t, err := template.New(what).Option("missingkey=error").Parse(text)
		var b bytes.Buffer
		if err == nil {
			err = t.Execute(&b, n)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
		return b.String()
	}
	for _, word := range p.Command {
		out.command = append(out.command, fill("command", word))
	}
	for _, word := range p.Cleanup {
		out.cleanup = append(out.cleanup, fill("cleanup", word))
	}
	for name, text := range p.Env {
		out.env = append(out.env, name+"="+fill("env "+name, text))
	}
	out.files["kubeconfig"] = fill("kubeconfig", kubeconfig)
	for name, text := range p.Files {
		out.files[name] = fill("files "+name, text)
	}
	for name, to := range p.Links {
		out.links[name] = fill("links "+name, to)
	}
	out.ready = fill("ready", p.Ready)
	if len(p.Command) == 0 || p.Command[0] == "" {
		errs = append(errs, errors.New("it has no command"))
	}
	return out, errors.Join(errs...)
}
