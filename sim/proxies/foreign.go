package proxies

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"svclab/nsnet"
	"svclab/nsnet/sandbox"
	"svclab/proxycore/cluster"
	"svclab/proxycore/foreign"
	"svclab/sim/kubeapi"
	"svclab/sim/lab"
	"svclab/sim/world"
)

// KubeProxies are the modes of kube-proxy, each also with a version: "kube-proxy/nftables@v1.33.13".
var KubeProxies = []Proxy{
	{Name: "kube-proxy/nftables", Powers: []string{"nftables"}, About: "the unmodified kube-proxy, mode nftables"},
	{Name: "kube-proxy/iptables", Powers: []string{"iptables-nft"}, Mode: iptablesMode, About: "the unmodified kube-proxy, mode iptables, on the commands that write to nf_tables"},
	{Name: "kube-proxy/iptables-legacy", Powers: []string{"iptables-legacy"}, Mode: iptablesMode, About: "the unmodified kube-proxy, mode iptables, on the older ip_tables"},
	{Name: "kube-proxy/ipvs", Powers: []string{"ipvs"}, About: "the unmodified kube-proxy, mode ipvs"},
}

// KubeProxyVersion is the one that is meant where no other is named: the one that ./run.sh kube-proxy builds.
const KubeProxyVersion = "v1.36.3"

// Foreign says how proxies that are programs of their own are run. The zero value works.
type Foreign struct {
	Binary string          // optional: the kube-proxy to run, instead of one that ./run.sh kube-proxy has built
	Config map[string]any  // optional: fields of a KubeProxyConfiguration to take over
	Gates  map[string]bool // optional: feature gates of kube-proxy
	Args   []string        // optional: further arguments
	Log    *slog.Logger    // optional: told what the proxies record as events
	Self   string          // optional: the svclab whose verb proxy is run; default: this very program
}

// profilePrefix begins the name of a proxy that a file describes.
const profilePrefix = "exec:"

// Find returns the proxy of that name, our own or a foreign one.
func (f Foreign) Find(name string) (Proxy, error) {
	if file, ok := strings.CutPrefix(name, profilePrefix); ok {
		text, err := os.ReadFile(file)
		if err != nil {
			return Proxy{}, fmt.Errorf("proxy %s: %w", name, err)
		}
		profile, err := foreign.ParseProfile(file, text)
		if err != nil {
			return Proxy{}, err
		}
		profile.Command = slices.Concat(profile.Command, f.Args)
		return Proxy{Name: name, About: "as " + file + " says", Powers: profile.Needs, foreign: &foreignProxy{
			name: name, base: name, log: f.Log, profile: func(cluster.Settings) (foreign.Profile, error) { return profile, nil }}}, nil
	}
	if strings.HasPrefix(name, processPrefix) {
		return f.process(name)
	}
	if !strings.HasPrefix(name, "kube-proxy/") {
		return Find(name)
	}
	base, number, versioned := strings.Cut(name, "@")
	i := slices.IndexFunc(KubeProxies, func(p Proxy) bool { return p.Name == base })
	if i < 0 {
		return Find(name) // which says what there is
	}
	if number == "" {
		number = KubeProxyVersion
	}
	p := KubeProxies[i]
	p.Name = name
	mode, legacy := strings.CutSuffix(strings.TrimPrefix(base, "kube-proxy/"), "-legacy")
	binary := f.Binary
	if binary == "" || versioned {
		binary = Built(number)
	}
	p.foreign = &foreignProxy{
		name: name, base: base, version: number, log: f.Log, binary: binary,
		profile: func(s cluster.Settings) (foreign.Profile, error) {
			return foreign.KubeProxy{
				Binary: binary, Mode: mode, Settings: s, Legacy: legacy, Cramped: !sandbox.RealRoot(), Config: f.Config, Gates: f.Gates, Args: f.Args,
			}.Profile()
		},
	}
	if binary == f.Binary {
		p.foreign.version = versionOf(binary)
	} else {
		p.foreign.remedy = "build it with: ./run.sh kube-proxy " + number + ", or name another with --kube-proxy PATH"
	}
	return p, nil
}

// Built is where ./run.sh kube-proxy puts the kube-proxy of a version.
func Built(version string) string {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	return filepath.Join(cache, "svclab", "kube-proxy", version, "kube-proxy")
}

// foreignProxy is a proxy that is a program of its own.
type foreignProxy struct {
	name    string
	base    string // without a version
	version string // empty: unknown
	own     bool   // our own core, of which nothing is known
	binary  string // empty: the profile's command is looked for when it is started
	remedy  string
	profile func(cluster.Settings) (foreign.Profile, error)
	log     *slog.Logger
}

// versionOf asks a kube-proxy for its version; empty when it does not say.
func versionOf(binary string) string {
	out, err := exec.Command(binary, "--version").Output()
	if err != nil {
		return "" // Missing tells why
	}
	v := strings.TrimPrefix(strings.TrimSpace(string(out)), "Kubernetes ")
	if _, err := version.ParseSemantic(v); err != nil {
		return ""
	}
	return v
}

// Known is what lists of known disagreements go by: the name without a version, and the version, empty when it is unknown;
// false for a proxy of our own, of which nothing is known.
func (p Proxy) Known() (base, version string, ok bool) {
	if p.foreign == nil || p.foreign.own {
		return "", "", false
	}
	return p.foreign.base, p.foreign.version, true
}

// Missing says what is missing for the proxy to run, beside powers of the machine; nil when nothing is.
func (p Proxy) Missing() error {
	if p.foreign == nil || p.foreign.binary == "" {
		return nil
	}
	info, err := os.Stat(p.foreign.binary)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("there is no %s", p.foreign.binary)
	case err == nil && (info.IsDir() || info.Mode()&0o111 == 0):
		err = fmt.Errorf("%s is no program", p.foreign.binary)
	}
	if err != nil && p.foreign.remedy != "" {
		err = fmt.Errorf("%w: %s", err, p.foreign.remedy)
	}
	return err
}

// opener is the constructor that a lab asks for: an API server and a process on each node.
func (f *foreignProxy) opener(settings cluster.Settings) func(*world.Host, *nsnet.NS) (lab.NodeProxy, error) {
	return func(node *world.Host, ns *nsnet.NS) (lab.NodeProxy, error) {
		profile, err := f.profile(settings)
		if err != nil {
			return nil, err
		}
		api := kubeapi.New(kubeapi.Options{Log: f.log})
		l, err := ns.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			return nil, errors.Join(err, api.Close())
		}
		go func() { _ = api.Serve(l) }() // ends with Close, which the proxy calls
		p, err := foreign.New(foreign.Options{
			Profile: profile,
			Node: foreign.Node{
				Name: node.Name, IPs: node.Addrs, PodCIDRs: node.PodCIDRs, ClusterCIDRs: settings.ClusterCIDRs, Settings: settings,
				API: "http://" + l.Addr().String(),
			},
			Feed: api, Start: ns.Start, Do: ns.Do, Scratch: sandbox.Scratch(),
		})
		if err != nil {
			return nil, errors.Join(err, api.Close())
		}
		return p, nil
	}
}

// ParseGates reads "A=true,B=false".
func ParseGates(words []string) (map[string]bool, error) {
	gates := map[string]bool{}
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		if name == "" || value != "true" && value != "false" {
			return nil, fmt.Errorf("feature gate %q: write Name=true or Name=false", w)
		}
		gates[name] = value == "true"
	}
	return gates, nil
}
