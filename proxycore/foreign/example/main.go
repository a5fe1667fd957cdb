// Command example is a Service proxy in fifty lines, for ClusterIPs; its argument is the API server's URL. svclab finds many faults in it.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"text/template"
	"time"
)

var words = template.FuncMap{"get": get, "more": func(n int) int { return n + 1 }, "lower": strings.ToLower, "family": func(ip string) string { return map[bool]string{true: "ip6", false: "ip"}[strings.Contains(ip, ":")] }}
var rules = template.Must(template.New("rules").Funcs(words).Parse(`add table inet example; delete table inet example; table inet example {
  chain services { {{- $slices := get "/apis/discovery.k8s.io/v1/endpointslices"}}{{range $svc := (get "/api/v1/services").items}}{{range $port := .spec.ports}}{{$n := 0}}{{$to := ""}}
{{- range $slice := $slices.items}}{{if eq $svc.metadata.name (index .metadata.labels "kubernetes.io/service-name")}}
{{- range $p := $slice.ports}}{{if eq (or .name "") (or $port.name "")}}{{range $slice.endpoints}}{{if .conditions.ready}}
{{- $to = printf "%s, %d : %s . %v" $to $n (index .addresses 0) $p.port}}{{$n = more $n}}{{end}}{{end}}{{end}}{{end}}{{end}}{{end}}
    {{$ip := family $svc.spec.clusterIP}}{{$ip}} daddr {{$svc.spec.clusterIP}} meta l4proto {{lower $port.protocol}} th dport {{$port.port}}
{{- if $n}} dnat {{$ip}} to numgen random mod {{$n}} map { {{slice $to 2}} }{{else}} reject{{end}}{{end}}{{end}}
  }
  chain prerouting { type nat hook prerouting priority -100; jump services; }
  chain output { type nat hook output priority -100; jump services; }
  chain postrouting { type nat hook postrouting priority 100;{{range $slices.items}}{{range .endpoints}}{{$a := index .addresses 0}}{{$ip := family $a}}
    {{$ip}} saddr {{$a}} {{$ip}} daddr {{$a}} masquerade{{end}}{{end}}
}; }`))

func main() {
	for ; ; time.Sleep(100 * time.Millisecond) { // ten times a second, whether anything has changed or not
		var text bytes.Buffer
		nft := exec.Command("nft", "-f", "-")
		nft.Stdin, nft.Stderr = &text, os.Stderr
		if err := errors.Join(rules.Execute(&text, nil), nft.Run()); err != nil {
			log.Fatal(err)
		}
	}
}

func get(path string) (list map[string]any, err error) {
	answer, err := http.Get(os.Args[1] + path)
	if err == nil {
		err = json.NewDecoder(answer.Body).Decode(&list)
		answer.Body.Close()
	}
	return list, err
}
