package scenario

import (
	"encoding/json"
	"fmt"
	"slices"

	"svclab/proxycore/cluster"
)

// JSONSchema is the form of each document of a scenario file in JSON Schema 2020-12, for editors: of the Scenario every
// field, of Kubernetes objects no more than that they are some. It is looser than the parser, which also knows whether
// names mean something; a test compares the fields of the two.
func JSONSchema() []byte {
	root := schema{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "svclab scenario file",
		"if":      schema{"properties": schema{"kind": schema{"const": "Scenario"}}, "required": []string{"kind"}},
		"then":    to("scenario"),
		"else": schema{"type": "object", "required": []string{"apiVersion", "kind"}, "description": "An object of Kubernetes.",
			"properties": schema{"apiVersion": schema{"type": "string"}, "kind": schema{"type": "string"}}},
	}
	defs := schema{}
	for name := range shapes {
		defs[name] = asSchema(name)
	}
	kinds := schema{}
	for _, k := range Kinds {
		kinds[k] = stepForms[k]
	}
	defs["step"] = schema{"type": "object", "properties": kinds, "minProperties": 1, "maxProperties": 1, "additionalProperties": false}
	root["$defs"] = defs
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("write schema: %v", err)) // words and numbers always marshal
	}
	return append(text, '\n')
}

type schema = map[string]any

// shape is one map of the language: its fields, and those that must be there.
type shape struct {
	about  string
	must   []string
	fields map[string]schema
}

// shapes is the table: every map that the language has, with every field.
var shapes = map[string]shape{
	"scenario": {"The story of a scenario file; the file's other documents are Kubernetes objects.", []string{"apiVersion", "kind", "metadata", "spec"}, map[string]schema{
		"apiVersion": {"const": APIVersion},
		"kind":       {"const": "Scenario"},
		"metadata":   to("metadata"),
		"spec":       to("spec"),
	}},
	"metadata": {"", []string{"name"}, map[string]schema{
		"name":   {"type": "string", "pattern": label.String(), "description": "The first part of the names of its cases."},
		"labels": {"type": "object", "additionalProperties": schema{"type": "string"}, "description": "What svclab run -l selects by: {area: basics}."},
	}},
	"spec": {"", []string{"steps"}, map[string]schema{
		"about":   {"type": "string", "description": "One sentence: what it shows."},
		"covers":  oneOrMore(schema{"type": "string", "pattern": row.String()}, "Rows of the specification that it is about."),
		"clients": {"type": "array", "items": to("client"), "description": "Hosts outside the cluster."},
		"proxy":   to("proxy"),
		"mtu":     bounded(leastMTU, mostMTU, "Of the network between nodes and clients, in bytes; 1500 by default."),
		"steps":   {"type": "array", "items": to("step"), "minItems": 1},
	}},
	"proxy": {"What the proxies of all nodes are told, in the words of KubeProxyConfiguration.", nil, map[string]schema{
		"detectLocalMode":    {"enum": cluster.DetectLocalModes, "description": "How a node tells its pods' packets from others; NodeCIDR by default."},
		"detectLocal":        to("detectLocal"),
		"clusterCIDR":        oneOrMore(schema{"type": "string", "minLength": 1}, "The range of all pods, one a family, of mode ClusterCIDR."),
		"masqueradeAll":      {"type": "boolean", "description": "Masquerade pods to ClusterIPs too."},
		"nodePortAddresses":  oneOrMore(schema{"type": "string", "minLength": 1}, "Ranges of the node addresses that answer at NodePorts, or the word primary."),
		"localhostNodePorts": {"type": "boolean", "description": "Whether a proxy that can answers at 127.0.0.1's NodePorts; true by default."},
	}},
	"detectLocal": {"The interfaces that pods are behind.", nil, map[string]schema{
		"bridgeInterface":     {"type": "string", "pattern": interfaceName.String(), "description": "The bridge of mode BridgeInterface."},
		"interfaceNamePrefix": {"type": "string", "pattern": interfaceName.String(), "description": "How the names begin, of mode InterfaceNamePrefix."},
	}},
	"client": {"A host outside the cluster.", []string{"name"}, map[string]schema{
		"name":      {"type": "string", "pattern": label.String()},
		"addresses": oneOrMore(schema{"type": "string"}, "At most one a family; missing ones are given out."),
	}},
	"probe": {"Flows from each of from to each of to, judged by the oracle.", []string{"from", "to"}, map[string]schema{
		"from":    oneOrMore(refForm(fromKinds), "Senders: pod/[NAMESPACE/]NAME, node/NAME, client/NAME."),
		"to":      oneOrMore(schema{"type": "string", "minLength": 1}, "Targets: service/[NAMESPACE/]NAME:PORT[/PROTO], pod/…, node/…, or an address 10.96.0.1:80/udp; an echo is service/NAME/icmp."),
		"fair":    to("fair"),
		"session": {"type": "string", "description": "All flows of that name share one socket."},
		"flows":   count(1, "How many; by default as many as show a stale endpoint with probability 1 − 10⁻⁶."),
		"size":    bounded(1, mostSize, "Payload bytes of each request, and of its answer; a few by default."),
		"fault":   {"enum": Faults, "description": "out-of-window: over TCP the server sends a segment far above the client's window before it answers."},
		"rate":    count(1, "At most so many a second."),
		"expect":  {"enum": Outcomes, "description": "Your own claim beside the oracle's."},
		"via":     {"type": "string", "description": "The node by which outside clients enter; the first by default."},
	}},
	"fair": {"Judge the distribution as well.", []string{"bias"}, map[string]schema{
		"bias": {"anyOf": []any{
			schema{"type": "string", "pattern": `^[0-9.]+ *%?$`},
			schema{"type": "number", "exclusiveMinimum": 0, "maximum": 1},
		}, "description": "The part of an endpoint's share that is to be seen: 10%."},
	}},
	"change": {"One change of the cluster.", nil, map[string]schema{
		"delete": oneOrMore(refForm(objectKinds), "Objects to delete. The lab keeps a deleted pod serving."),
		"apply": oneOrMore(schema{"anyOf": []any{refForm(objectKinds), schema{"type": "object", "required": []string{"apiVersion", "kind"}}}},
			"A new object, or the name of one in this file."),
		"merge": {"type": "object", "minProperties": 1, "additionalProperties": schema{"type": "object"},
			"description": "JSON merge patches: {pod/web-1: {status: …}}."},
		"within": duration("By when a proxy that cannot say so must have settled."),
		"wrongs": count(0, "Wrong answers tolerated before that."),
		"repeat": count(1, "The change is made and taken back in turn, that many changes in all."),
		"during": to("during"),
	}},
	"during": {"Flows sent meanwhile.", []string{"probe"}, map[string]schema{"probe": stepForms["probe"]}},
	"restart": {"Proxies end as by kill -9, and new ones take over.", nil, map[string]schema{
		"nodes":  nodeNames,
		"down":   duration("How long there is none."),
		"during": to("during"),
	}},
	"flush": {"Somebody else removes all rules of the nodes.", nil, map[string]schema{
		"nodes":  nodeNames,
		"within": duration("By when the proxy must have healed them."),
		"wrongs": count(0, "Wrong answers tolerated before that."),
	}},
	"health": {"Nodes are asked at the health-check port of a Service, as its load balancer does.", []string{"of", "from"}, map[string]schema{
		"of":     refForm([]string{"service"}),
		"from":   oneOrMore(refForm(fromKinds), "Who asks: pod/[NAMESPACE/]NAME, node/NAME, client/NAME."),
		"nodes":  nodeNames,
		"expect": to("claim"),
	}},
	"claim": {"Your own claim beside the oracle's.", nil, map[string]schema{
		"status":         bounded(100, 599, "Of HTTP: 200 or 503."),
		"localEndpoints": count(0, "How many endpoints the node says to have."),
	}},
}

// stepForms are the kinds of step: a map, or the one word that may stand in its place, or a time.
var stepForms = map[string]schema{
	"probe":   wordOr("everything", "probe"),
	"change":  to("change"),
	"restart": wordOr("all", "restart"),
	"flush":   wordOr("all", "flush"),
	"health":  to("health"),
	"wait":    duration("Lets time pass, for what expires by itself."),
}

var nodeNames = oneOrMore(schema{"type": "string"}, "Names of nodes; all by default.")

func asSchema(name string) schema {
	s := shapes[name]
	out := schema{"type": "object", "properties": s.fields, "additionalProperties": false}
	if s.about != "" {
		out["description"] = s.about
	}
	if len(s.must) > 0 {
		out["required"] = slices.Clone(s.must)
	}
	return out
}

func to(shape string) schema { return schema{"$ref": "#/$defs/" + shape} }

func wordOr(word, shape string) schema {
	return schema{"anyOf": []any{schema{"const": word}, to(shape)}}
}

func oneOrMore(one schema, about string) schema {
	return schema{"anyOf": []any{one, schema{"type": "array", "items": one, "minItems": 1}}, "description": about}
}

func refForm(kinds []string) schema {
	form := "^("
	for i, k := range kinds {
		if i > 0 {
			form += "|"
		}
		form += k
	}
	return schema{"type": "string", "pattern": form + ")/."}
}

func count(least int, about string) schema {
	return schema{"type": "integer", "minimum": least, "description": about}
}

func bounded(least, most int, about string) schema {
	return schema{"type": "integer", "minimum": least, "maximum": most, "description": about}
}

func duration(about string) schema {
	return schema{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`, "description": about}
}
