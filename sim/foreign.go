package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"svclab/sim/proxies"
)

// foreignFlags are how proxies that are programs of their own are run.
type foreignFlags struct {
	binary string
	config string
	gates  []string
	args   []string
}

func (f *foreignFlags) flags(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.binary, "kube-proxy", "", "the kube-proxy to run (default: the one that ./run.sh kube-proxy has built)")
	fl.StringVar(&f.config, "proxy-config", "", "a file with fields of a KubeProxyConfiguration to take over")
	fl.StringSliceVar(&f.gates, "feature-gates", nil, "feature gates of kube-proxy: Name=true,Other=false")
	fl.StringArrayVar(&f.args, "proxy-arg", nil, "a further argument of a foreign proxy; may be repeated")
}

func (f *foreignFlags) proxies(verbose bool) (p proxies.Foreign, err error) {
	p = proxies.Foreign{Binary: f.binary, Args: f.args}
	if verbose {
		p.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if p.Gates, err = proxies.ParseGates(f.gates); err != nil {
		return p, err
	}
	if f.config == "" {
		return p, nil
	}
	text, err := os.ReadFile(f.config)
	if err != nil {
		return p, err
	}
	if err := yaml.Unmarshal(text, &p.Config); err != nil {
		return p, fmt.Errorf("%s: %w", f.config, err)
	}
	return p, nil
}
