// Command example is a Service proxy in sixty lines: ten times a second it lists Services and EndpointSlices, and writes
// nft rules for ClusterIPs. It shows how a proxy of your own is run and judged; svclab finds many faults in it.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"os/exec"
	"strings"
	"text/template"
	"time"
)

var rules = template.Must(template.New("rules").Funcs(template.FuncMap{
	"ip":   func(a string) string { return map[bool]string{false: "ip", true: "ip6"}[strings.Contains(a, ":")] },
	"more": func(n int) int { return n + 1 }, "lower": strings.ToLower, "fields": strings.Fields,
}).Parse(`table inet example
delete table inet example
table inet example {
  chain services {
{{- range $svc := .services.items}}{{range $port := .spec.ports}}{{$n := 0}}{{$to := ""}}
{{- range $slice := $.slices.items}}{{if eq $svc.metadata.name (index .metadata.labels "kubernetes.io/service-name")}}
{{- range $p := $slice.ports}}{{if eq (or .name "") (or $port.name "")}}{{range $slice.endpoints}}{{if .conditions.ready}}
{{- $to = printf "%s, %d : %s . %v" $to $n (index .addresses 0) $p.port}}{{$n = more $n}}{{end}}{{end}}{{end}}{{end}}{{end}}{{end}}
    {{ip $svc.spec.clusterIP}} daddr {{$svc.spec.clusterIP}} {{lower $port.protocol}} dport {{$port.port}}
{{- if $n}} dnat {{ip $svc.spec.clusterIP}} to numgen random mod {{$n}} map { {{slice $to 2}} }{{else}} reject{{end}}{{end}}{{end}}
  }
  chain prerouting { type nat hook prerouting priority -100; jump services; }
  chain output { type nat hook output priority -100; jump services; }
  chain postrouting { type nat hook postrouting priority 100;{{range .slices.items}}{{range .endpoints}}{{$a := index .addresses 0}}
    {{ip $a}} saddr {{$a}} {{ip $a}} daddr {{$a}} masquerade{{end}}{{end}}{{range fields .pods}}
    {{ip .}} saddr {{.}} return{{end}}
    ct status dnat masquerade
  }
}`))

func main() {
	api, pods := flag.String("api", "", "URL of the API server"), flag.String("pods", "", "ranges of the cluster's pods, with spaces")
	flag.Parse()
	for last := ""; ; time.Sleep(100 * time.Millisecond) {
		var text strings.Builder
		state := map[string]any{"services": get(*api + "/api/v1/services"), "slices": get(*api + "/apis/discovery.k8s.io/v1/endpointslices"), "pods": *pods}
		if err := rules.Execute(&text, state); err != nil {
			log.Fatal(err)
		}
		nft := exec.Command("nft", "-f", "-")
		nft.Stdin = strings.NewReader(text.String())
		if text.String() == last {
			continue
		} else if out, err := nft.CombinedOutput(); err != nil {
			log.Fatalf("nft: %v: %s in\n%s", err, out, text.String())
		}
		last = text.String()
	}
}

func get(url string) (list map[string]any) {
	answer, err := http.Get(url)
	if err == nil {
		defer answer.Body.Close()
		err = json.NewDecoder(answer.Body).Decode(&list)
	}
	if err != nil {
		log.Fatal(err)
	}
	return list
}
