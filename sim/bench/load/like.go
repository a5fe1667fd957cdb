package load

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"gopkg.in/yaml.v3"
)

// Like is the shape of a cluster that somebody has: its Services in the order of their names, how many ports and endpoints each
// has. Names and addresses are not kept. It is read from what `kubectl get services,endpointslices -A -o yaml` (or json)
// prints; Services without a cluster IP are passed over, for no proxy writes rules for them. Services beyond those of the
// file have one port and as many endpoints as the one in the middle.
func Like(text []byte) (Shape, error) {
	l := like{services: map[string]*sized{}, addresses: map[string]map[string]bool{}}
	var err error
	if trimmed := bytes.TrimLeft(text, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		err = l.json(text)
	} else {
		err = l.yaml(text)
	}
	if err != nil {
		return Shape{}, err
	}
	return l.shape()
}

// dumped is what is read of an object; of all else nothing is kept.
type dumped struct {
	Kind     string   `yaml:"kind"`
	Items    []dumped `yaml:"items"`
	Metadata struct {
		Namespace string            `yaml:"namespace"`
		Name      string            `yaml:"name"`
		Labels    map[string]string `yaml:"labels"`
	} `yaml:"metadata"`
	Spec struct {
		Type      string     `yaml:"type"`
		ClusterIP string     `yaml:"clusterIP"`
		Ports     []struct{} `yaml:"ports"`
	} `yaml:"spec"`
	AddressType string `yaml:"addressType"`
	Endpoints   []struct {
		Addresses []string `yaml:"addresses"`
	} `yaml:"endpoints"`
}

type sized struct {
	name             string
	ports, endpoints int
}

type like struct {
	services  map[string]*sized
	addresses map[string]map[string]bool // of a Service and family
	slices    int
}

func (l *like) json(text []byte) error {
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var o dumped
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("it is no JSON of kubectl's: %w", err)
		}
		l.take(&o)
	}
}

func (l *like) yaml(text []byte) error {
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var o dumped
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("it is no YAML of kubectl's: %w", err)
		}
		l.take(&o)
	}
}

func (l *like) take(o *dumped) {
	for i := range o.Items {
		l.take(&o.Items[i])
	}
	switch o.Kind {
	case "Service":
		if _, err := netip.ParseAddr(o.Spec.ClusterIP); err == nil && o.Spec.Type != string(corev1.ServiceTypeExternalName) {
			key := o.Metadata.Namespace + "/" + o.Metadata.Name
			l.services[key] = &sized{name: key, ports: len(o.Spec.Ports)}
		}
	case "EndpointSlice":
		l.slices++
		key := o.Metadata.Namespace + "/" + o.Metadata.Labels[discoveryv1.LabelServiceName] + " " + o.AddressType
		if l.addresses[key] == nil {
			l.addresses[key] = map[string]bool{}
		}
		for _, e := range o.Endpoints {
			if len(e.Addresses) > 0 {
				l.addresses[key][e.Addresses[0]] = true
			}
		}
	}
}

func (l *like) shape() (Shape, error) {
	switch {
	case len(l.services) == 0:
		return Shape{}, errors.New("there is no Service with a cluster IP in it: write what `kubectl get services,endpointslices -A -o yaml` prints")
	case l.slices == 0:
		return Shape{}, errors.New("there is no EndpointSlice in it: write what `kubectl get services,endpointslices -A -o yaml` prints")
	case len(l.services) > MaxServices:
		return Shape{}, fmt.Errorf("it has %d Services, and the lab has addresses for %d", len(l.services), MaxServices)
	}
	for key, all := range l.addresses {
		name, _, _ := strings.Cut(key, " ")
		if s := l.services[name]; s != nil {
			s.endpoints = max(s.endpoints, len(all)) // of a dual-stack Service the family that has more
		}
	}
	var list []sized
	some := false
	for _, s := range l.services {
		list = append(list, *s)
		some = some || s.endpoints > 0
	}
	if !some {
		return Shape{}, errors.New("no Service in it has an endpoint, so nothing could be asked")
	}
	slices.SortFunc(list, func(a, b sized) int { return cmp.Compare(a.name, b.name) })
	byEndpoints := slices.SortedFunc(slices.Values(list), func(a, b sized) int { return cmp.Compare(a.endpoints, b.endpoints) })
	usual := max(1, byEndpoints[len(byEndpoints)/2].endpoints)
	return Shape{
		Services: len(list),
		Endpoints: func(i int) int {
			if i < len(list) {
				return list[i].endpoints
			}
			return usual
		},
		Ports: func(i int) int {
			if i < len(list) {
				return list[i].ports
			}
			return 1
		},
	}, nil
}
