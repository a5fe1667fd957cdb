package scenario

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// String is the name as files write it, "default" left out.
func (r Ref) String() string {
	if r.Namespace == "" || r.Namespace == corev1.NamespaceDefault {
		return r.Kind + "/" + r.Name
	}
	return r.Kind + "/" + r.Namespace + "/" + r.Name
}

// String is the target as files write it.
func (t Target) String() string {
	text := t.Ref.String() + ":" + t.Port
	switch {
	case t.Echo() && t.Addr.IsValid():
		text = t.Addr.Addr().String()
	case t.Echo():
		text = t.Ref.String()
	case t.Addr.IsValid():
		text = t.Addr.String()
	}
	if t.Proto != "" {
		text += "/" + strings.ToLower(t.Proto)
	}
	return text
}

// Echo: the target is asked for an echo (ping), which has no port.
func (t Target) Echo() bool { return t.Proto == echo }

// echo is what a target says in place of a port and its protocol: service/web/icmp, 10.96.0.1/icmp. No name of a Service can
// be meant, since those are followed by a port.
const echo = "ICMP"

func echoTarget(text string) (Target, error) {
	t := Target{Proto: echo}
	if a, err := netip.ParseAddr(text); err == nil {
		if a.Zone() != "" || a.Is4In6() {
			return t, fmt.Errorf("%q is not the address of a host, such as 10.96.0.10 or 2001:db8::7", shorten(text))
		}
		t.Addr = netip.AddrPortFrom(a, 0)
		return t, nil
	}
	name, port, colon := strings.Cut(text, ":")
	if colon {
		return t, fmt.Errorf("an echo has no port: leave out \":%s\"", shorten(port))
	}
	var err error
	t.Ref, err = parseRef(name, "a target", targetKinds)
	return t, err
}

// kubectlNames are the short names of kubectl, which people type.
var kubectlNames = map[string]string{
	"svc": "service", "services": "service", "po": "pod", "pods": "pod", "no": "node", "nodes": "node", "clients": "client",
	"endpointslices": "endpointslice", "ep": "endpointslice", "endpoints": "endpointslice",
}

// ref reads "kind/name" or "kind/namespace/name".
func (p *parser) ref(v *value, what string, kinds []string) (Ref, bool) {
	if v.kind != stringValue {
		p.problem(v.Pos, "%s is written like %s, not as %s", what, exampleOf(kinds[0]), v.what())
		return Ref{}, false
	}
	r, err := parseRef(v.text, what, kinds)
	if err != nil {
		p.problem(v.Pos, "%v", err)
	}
	return r, err == nil
}

func exampleOf(kind string) string {
	return map[string]string{"pod": "pod/web-1", "service": "service/web:80", "node": "node/node-1", "endpointslice": "endpointslice/web-1", "client": "client/laptop"}[kind]
}

func parseRef(text, what string, kinds []string) (Ref, error) {
	parts := strings.Split(text, "/")
	kind := parts[0]
	known := false
	for _, k := range kinds {
		known = known || k == kind
	}
	switch {
	case text == "":
		return Ref{}, fmt.Errorf("%s has no name: write for example %s", what, strings.TrimSuffix(exampleOf(kinds[0]), ":80"))
	case len(parts) == 1:
		return Ref{}, fmt.Errorf("%q does not say what it is: write for example %s/%s", shorten(text), kinds[0], shorten(text))
	case !known && kubectlNames[kind] != "":
		return Ref{}, fmt.Errorf("unknown kind %q in %q: did you mean %q? %s", kind, shorten(text), kubectlNames[kind], knownWords(kinds))
	case !known && (kind == "client" || kindOf(kind) != nil):
		return Ref{}, fmt.Errorf("%s cannot be a %s. %s", what, kind, knownWords(kinds))
	case !known:
		return Ref{}, fmt.Errorf("%s", unknown("kind", kind, fmt.Sprintf(" in %q", shorten(text)), kinds))
	}
	r := Ref{Kind: kind, Name: parts[len(parts)-1]}
	k := kindOf(kind)
	spaced := k != nil && k.namespaced
	switch {
	case spaced && len(parts) == 2:
		r.Namespace = corev1.NamespaceDefault
	case spaced && len(parts) == 3:
		r.Namespace = parts[1]
	case len(parts) > 2 && spaced:
		return Ref{}, fmt.Errorf("%q has too many parts: write %s/name, or %s/namespace/name", shorten(text), kind, kind)
	case len(parts) > 2:
		return Ref{}, fmt.Errorf("%q has too many parts: a %s has no namespace; write %s/name", shorten(text), kind, kind)
	}
	if !subdomain.MatchString(r.Name) || spaced && !label.MatchString(r.Namespace) {
		return Ref{}, fmt.Errorf("%q is no name of a %s: write for example %s", shorten(text), kind, strings.TrimSuffix(exampleOf(kind), ":80"))
	}
	return r, nil
}

var targetKinds = []string{"service", "pod", "node"}

// target reads where a probe goes to.
func (p *parser) target(v *value) (Target, bool) {
	if v.kind != stringValue {
		p.problem(v.Pos, "a target is written like service/web:80 or 10.96.0.10:80, not as %s", v.what())
		return Target{}, false
	}
	t, err := parseTarget(v.text)
	if err != nil {
		p.problem(v.Pos, "%v", err)
	}
	t.Pos = v.Pos
	return t, err == nil
}

func parseTarget(text string) (t Target, err error) {
	shown := shorten(text)
	kind, _, slash := strings.Cut(text, "/")
	if n := len(text) - len("/"+echo); n > 0 && strings.EqualFold(text[n:], "/"+echo) && kind != "client" {
		return echoTarget(text[:n])
	}
	if !slash || strings.Contains(kind, ":") {
		return literalTarget(text)
	}
	if kind == "client" {
		return t, fmt.Errorf("a client asks and does not answer: %q cannot be probed", shown)
	}
	if _, err := netip.ParseAddr(kind); err == nil {
		return t, fmt.Errorf("%q has no port: write for example %s:80", shown, kind)
	}
	name, port, colon := strings.Cut(text, ":")
	if !colon {
		if _, err := parseRef(name, "a target", targetKinds); err != nil {
			return t, err
		}
		return t, fmt.Errorf("%q has no port: write for example %s:80", shown, name)
	}
	if t.Ref, err = parseRef(name, "a target", targetKinds); err != nil {
		return t, err
	}
	port, proto, hasProto := strings.Cut(port, "/")
	if t.Proto, err = parseProto(proto, hasProto, shown); err != nil {
		return t, err
	}
	t.Port = port
	n, numberErr := strconv.Atoi(port)
	switch {
	case numberErr == nil && (n < 1 || n > 65535):
		return t, fmt.Errorf("port %d in %q is none: ports are 1 to 65535", n, shown)
	case numberErr == nil:
		t.Port = strconv.Itoa(n) // not "+80" or "080"
	case port == "":
		return t, fmt.Errorf("%q has no port: write for example %s:80", shown, name)
	case t.Ref.Kind != "service":
		return t, fmt.Errorf("the port of a %s is a number, not %q; only a Service's ports have names here", t.Ref.Kind, shorten(port))
	case !label.MatchString(port):
		return t, fmt.Errorf("%q in %q is no port: write a number, or the name of one of the Service's ports", shorten(port), shown)
	}
	return t, nil
}

func literalTarget(text string) (t Target, err error) {
	shown := shorten(text)
	notOne := fmt.Errorf("%q is no target: write for example service/web:80, pod/web-1:5000 or 10.96.0.10:80/udp", shown)
	if strings.Contains(text, "://") {
		return t, notOne
	}
	addr, proto, hasProto := strings.Cut(text, "/")
	if t.Proto, err = parseProto(proto, hasProto, shown); err != nil {
		return t, err
	}
	if t.Addr, err = netip.ParseAddrPort(addr); err == nil {
		switch {
		case t.Addr.Port() == 0:
			return t, fmt.Errorf("port 0 in %q is none: ports are 1 to 65535", shown)
		case t.Addr.Addr().Zone() != "" || t.Addr.Addr().Is4In6():
			return t, fmt.Errorf("%q is not the address of a host, such as 10.96.0.10:80 or [2001:db8::7]:80", shown)
		}
		return t, nil
	}
	if a, err := netip.ParseAddr(addr); err == nil {
		if a.Is6() {
			addr = "[" + addr + "]"
		}
		return t, fmt.Errorf("%q has no port: write for example %s:80", shown, addr)
	}
	host, port, _ := strings.Cut(addr, ":")
	if _, err := netip.ParseAddr(host); err == nil {
		return t, fmt.Errorf("port %q in %q is none: ports are 1 to 65535", shorten(port), shown)
	}
	if label.MatchString(host) && !strings.Contains(host, ".") && strings.Trim(host, "0123456789") != "" {
		if port == "" {
			port = "80"
		}
		return t, fmt.Errorf("%q does not say what it is: write for example service/%s:%s", shown, host, shorten(port))
	}
	return t, notOne
}

func parseProto(text string, there bool, in string) (string, error) {
	switch up := strings.ToUpper(text); {
	case !there:
		return "", nil
	case up == "TCP" || up == "UDP" || up == "SCTP":
		return up, nil
	}
	return "", fmt.Errorf("%s", unknown("protocol", text, fmt.Sprintf(" in %q", in), []string{"tcp", "udp", "sctp", "icmp"}))
}
