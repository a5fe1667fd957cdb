package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"svclab/nsnet/sandbox"
	"svclab/proxycore/mutant"
	"svclab/sim/proxies"
)

// cures are the powers, and what helps where one is missing.
var cures = []struct{ power, cure string }{
	{"userns", "see what svclab doctor says of the sandbox"},
	{"nftables", "sudo modprobe -a nf_tables nft_chain_nat nft_masq (on the host), or a kernel with CONFIG_NF_TABLES and CONFIG_NFT_NAT"},
	{"iptables-nft", "sudo apt-get install -y iptables, and sudo modprobe -a nft_compat xt_statistic xt_recent xt_MASQUERADE (on the host)"},
	{"iptables-legacy", "sudo apt-get install -y iptables, and sudo modprobe -a iptable_nat iptable_filter ip6table_nat ip6table_filter (on the host)"},
	{"veth", "sudo modprobe veth (on the host), or a kernel with CONFIG_VETH"},
	{"bridge", "sudo modprobe bridge (on the host), or a kernel with CONFIG_BRIDGE"},
	{"ipvs", "sudo modprobe -a ip_vs ip_vs_rr (on the host), or a kernel with CONFIG_IP_VS; only kube-proxy/ipvs needs it"},
}

func cureOf(power string) string {
	for _, c := range cures {
		if c.power == power {
			return c.cure
		}
	}
	return "none known"
}

// neededBy names the proxies that cannot do without a power.
func neededBy(power string) string {
	var names []string
	for _, p := range slices.Concat(proxies.All, proxies.KubeProxies) {
		if slices.Contains(p.Powers, power) {
			names = append(names, p.Name)
		}
	}
	if slices.Contains(always, power) {
		return "every lab"
	}
	return strings.Join(names, " ")
}

// tools are the programs that a run may use, and for what.
var tools = []struct{ name, flag, use string }{
	{"nft", "--version", "artifacts of nftables proxies"},
	{"iptables", "--version", "proxies on iptables"},
	{"ip", "-V", "artifacts: routes and links"},
}

// diagnosis is what `svclab doctor -o json` prints.
type diagnosis struct {
	SchemaVersion int        `json:"schemaVersion"` // 1
	Sandbox       string     `json:"sandbox"`       // "yes", or why not
	Powers        []power    `json:"powers"`
	Tools         []tool     `json:"tools"`
	Proxies       []runnable `json:"proxies"`
}

type power struct {
	Name  string `json:"name"`
	State string `json:"state"` // yes, no, unknown
	Proof string `json:"proof"`
	Cure  string `json:"cure,omitempty"`
}

type tool struct {
	Name    string `json:"name"`
	Use     string `json:"use"`
	Version string `json:"version"` // or "missing"
}

type runnable struct {
	Name string `json:"name"`
	Runs string `json:"runs"` // begins with yes or no
}

func doctorCommand() *cobra.Command {
	format := "table"
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what this machine can run, and what would cure what it cannot",
		Long: `Tell whether a sandbox can be made, which powers there are in it, each with the proof, which tools are there, and
which proxies can run. Exit code 0 when every proxy of svclab's own can run, else 3.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			d := diagnosis{SchemaVersion: 1, Sandbox: "yes"}
			var cannot []string
			var err error
			if no := sandbox.Enter(sandbox.Options{}); no != nil {
				d.Sandbox = no.Error()
			} else if cannot, err = d.examine(); err != nil {
				return err
			}
			if err := d.print(format); err != nil {
				return err
			}
			switch {
			case d.Sandbox != "yes":
				return exitError{exitNothing, fmt.Errorf("no proxy can run here")}
			case len(cannot) > 0:
				return exitError{exitNothing, fmt.Errorf("cannot run here: %s", strings.Join(cannot, ", "))}
			}
			return nil
		},
	}
	asTableOrJSON(c, &format)
	return c
}

// examine goes on in the sandbox. It returns the proxies of our own that cannot run.
func (d *diagnosis) examine() (cannot []string, err error) {
	for _, p := range sandbox.Probe() {
		one := power{Name: p.Name, State: p.State.String(), Proof: p.Proof}
		if p.State != sandbox.Yes {
			one.Cure = cureOf(p.Name)
		}
		d.Powers = append(d.Powers, one)
	}
	for _, t := range tools {
		d.Tools = append(d.Tools, tool{t.name, t.use, toolVersion(t.name, t.flag)})
	}
	for _, p := range proxies.All {
		runs := "yes"
		if missing := lacks(p); len(missing) > 0 {
			runs = "no, for lack of"
			for _, power := range missing {
				runs += " " + power.Name
			}
			cannot = append(cannot, p.Name)
		}
		d.Proxies = append(d.Proxies, runnable{p.Name, runs})
	}
	for _, k := range proxies.KubeProxies {
		p, err := proxies.Foreign{Binary: os.Getenv("SVCLAB_KUBE_PROXY")}.Find(k.Name)
		if err != nil {
			return nil, err
		}
		runs := "yes"
		if missing := lacks(p); len(missing) > 0 {
			runs = "no, for lack of " + missing[0].Name
		} else if err := p.Missing(); err != nil {
			runs = "no: " + err.Error()
		} else if _, version, _ := p.Known(); version != "" {
			runs = "yes, " + version
		}
		d.Proxies = append(d.Proxies, runnable{p.Name, runs})
	}
	return cannot, nil
}

func (d *diagnosis) print(format string) error {
	if format == "json" {
		return printJSON(d)
	}
	if d.Sandbox != "yes" {
		fmt.Printf("sandbox: no\n  %s\n", strings.ReplaceAll(d.Sandbox, "\n", "\n  "))
		return nil
	}
	powers := [][]string{{"POWER", "STATE", "PROOF"}}
	for _, p := range d.Powers {
		powers = append(powers, []string{p.Name, p.State, p.Proof})
		if p.Cure != "" {
			powers = append(powers, []string{"", "", "cure: " + p.Cure})
		}
	}
	programs := [][]string{{"TOOL", "FOR", "VERSION"}}
	for _, t := range d.Tools {
		programs = append(programs, []string{t.Name, t.Use, t.Version})
	}
	able := [][]string{{"PROXY", "RUNS"}}
	for _, p := range d.Proxies {
		able = append(able, []string{p.Name, p.Runs})
	}
	fmt.Println("sandbox: yes")
	for _, rows := range [][][]string{powers, programs, able} {
		fmt.Println()
		if err := columns(rows); err != nil {
			return err
		}
	}
	return nil
}

// columns prints rows lined up.
func columns(rows [][]string) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	return w.Flush()
}

func toolVersion(name, flag string) string {
	out, err := exec.Command(name, flag).Output()
	if err != nil {
		return "missing"
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return first
}

// spoilt are the names of all proxies spoilt in each way.
func spoilt() (names []string) {
	for _, p := range proxies.All {
		for _, m := range mutant.Mutants {
			if m.Spoils(p.Name) {
				names = append(names, p.Name+"~"+m.Name)
			}
		}
	}
	return names
}
