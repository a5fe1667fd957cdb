// Command example is a Service proxy in a hundred lines: ten times a second it lists Services and EndpointSlices,
// and writes nft rules for ClusterIPs. It shows how a proxy of your own is run and judged; svclab finds many faults in it.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os/exec"
	"strings"
	"time"
)

type list struct {
	Items []struct {
		Metadata struct {
			Namespace, Name string
			Labels          map[string]string
		}
		Spec struct {
			ClusterIP string
			Ports     []struct {
				Name, Protocol string
				Port           int
			}
		}
		Ports []struct {
			Name string
			Port int
		}
		Endpoints []struct {
			Addresses  []string
			Conditions struct{ Ready bool }
		}
	}
}

const table = `table %[1]s example
delete table %[1]s example
table %[1]s example {
  chain services {
%[2]s  }
  chain prerouting { type nat hook prerouting priority -100; jump services; }
  chain output { type nat hook output priority -100; jump services; }
  chain postrouting { type nat hook postrouting priority 100;
%[3]s    ct status dnat masquerade
  }
}
`

func main() {
	api := flag.String("api", "", "URL of the API server")
	pods := flag.String("pods", "", "ranges of the cluster's pods, with spaces")
	flag.Parse()
	for last := ""; ; time.Sleep(100 * time.Millisecond) {
		if text := rules(get(*api+"/api/v1/services"), get(*api+"/apis/discovery.k8s.io/v1/endpointslices"), strings.Fields(*pods)); text != last {
			nft := exec.Command("nft", "-f", "-")
			nft.Stdin = strings.NewReader(text)
			if out, err := nft.CombinedOutput(); err != nil {
				log.Fatalf("nft: %v: %s in\n%s", err, out, text)
			}
			last = text
		}
	}
}

func rules(services, slices list, pods []string) string {
	fronts, kept := map[string]string{}, map[string]string{}
	for _, s := range slices.Items {
		for _, e := range s.Endpoints {
			f := family(e.Addresses[0])
			kept[f] += fmt.Sprintf("    %s saddr %s %s daddr %s masquerade\n", f, e.Addresses[0], f, e.Addresses[0]) // calls itself
		}
	}
	for _, p := range pods {
		kept[family(p)] += fmt.Sprintf("    %s saddr %s return\n", family(p), p)
	}
	for _, s := range services.Items {
		for _, p := range s.Spec.Ports {
			var to []string
			for _, x := range slices.Items {
				for i := range x.Ports {
					for _, e := range x.Endpoints {
						if x.Metadata.Labels["kubernetes.io/service-name"] == s.Metadata.Name && x.Ports[i].Name == p.Name && e.Conditions.Ready {
							to = append(to, fmt.Sprintf("%d : %s . %d", len(to), e.Addresses[0], x.Ports[i].Port))
						}
					}
				}
			}
			f := family(s.Spec.ClusterIP)
			verdict := "reject"
			if len(to) > 0 {
				verdict = fmt.Sprintf("dnat %s to numgen random mod %d map { %s }", f, len(to), strings.Join(to, ", "))
			}
			fronts[f] += fmt.Sprintf("    %s daddr %s %s dport %d %s\n", f, s.Spec.ClusterIP, strings.ToLower(p.Protocol), p.Port, verdict)
		}
	}
	return fmt.Sprintf(table, "ip", fronts["ip"], kept["ip"]) + fmt.Sprintf(table, "ip6", fronts["ip6"], kept["ip6"])
}

func family(address string) string {
	if strings.Contains(address, ":") {
		return "ip6"
	}
	return "ip"
}

func get(url string) (l list) {
	answer, err := http.Get(url)
	if err == nil {
		defer answer.Body.Close()
		err = json.NewDecoder(answer.Body).Decode(&l)
	}
	if err != nil {
		log.Fatal(err)
	}
	return l
}
