package datapath

import (
	"bytes"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"

	"svclab/nsnet"
	"svclab/sim/bench/load"
)

// order lists all Services as the node goes through them: by address; where kube-proxy has written a list of rules, as they
// stand there, which is by chance (it ranges over a map, pkg/proxy/iptables/proxier.go).
func order(node *nsnet.NS, services int) ([]int, error) {
	all, byAddr := make([]int, services), map[netip.Addr]int{}
	for i := range all {
		all[i] = i
		byAddr[load.Front(i).Addr()] = i
	}
	for _, command := range []string{"iptables-nft-save", "iptables-legacy-save"} {
		path, err := exec.LookPath(command)
		if err != nil {
			continue // who has not got it has written nothing with it
		}
		text, err := node.Run(exec.Command(path, "-t", "nat"))
		if err != nil {
			return nil, fmt.Errorf("read the rules: %w", err)
		}
		if listed := jumps(text, byAddr); len(listed) > 0 {
			if len(listed) != services {
				return nil, fmt.Errorf("the chain KUBE-SERVICES has %d of %d Services", len(listed), services)
			}
			return listed, nil
		}
	}
	return all, nil
}

// jumps are the Services in kube-proxy's list: -A KUBE-SERVICES -d 10.96.0.10/32 -p tcp … -j KUBE-SVC-…
func jumps(rules []byte, byAddr map[netip.Addr]int) (list []int) {
	for line := range bytes.Lines(rules) {
		words := strings.Fields(string(line))
		if len(words) < 4 || words[1] != "KUBE-SERVICES" || words[0] != "-A" {
			continue
		}
		at := slices.Index(words, "-d")
		if at < 0 || at+1 == len(words) {
			continue
		}
		p, err := netip.ParsePrefix(words[at+1])
		if err != nil {
			continue
		}
		if i, ok := byAddr[p.Addr()]; ok {
			list = append(list, i)
		}
	}
	return list
}
