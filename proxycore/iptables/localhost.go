package iptables

import (
	"fmt"
	"os"
	"strings"
)

// routeLocalnet lets packets from and to 127.0.0.0/8 leave and enter the node; the guard keeps others out (row NP-8).
const routeLocalnet = "net/ipv4/conf/all/route_localnet"

const wasBefore = "svclab: route_localnet was "

// memory is how a process that comes after us knows what to give back.
func (n node) memory() string { return strings.TrimPrefix(remark(wasBefore+n.former), " ") }

// formerLocalnet reads the memory.
func (k *kernel) formerLocalnet() string {
	for _, text := range k.chains[place{filter, guard}] {
		if was, ok := strings.CutPrefix(parseRule(text).comment, wasBefore); ok {
			return was
		}
	}
	return ""
}

// remember is called before the rules are written: it gives the sysctl back where it is no longer needed, while the guard
// is still there, and else learns what is to be given back.
func (s *side) remember(k *kernel) (err error) {
	if s.is6 {
		return nil
	}
	if s.node.former == "" {
		s.node.former = k.formerLocalnet()
	}
	switch {
	case s.node.localhost() && s.node.former == "":
		s.node.former, err = s.tool.sysctl(routeLocalnet)
	case !s.node.localhost() && s.node.former != "":
		if err = s.tool.setSysctl(routeLocalnet, s.node.former); err == nil {
			s.node.former = ""
		}
	}
	return err
}

// letOut is called when the rules, and with them the guard, are in force.
func (s *side) letOut() error {
	if !s.node.localhost() {
		return nil
	}
	return s.tool.setSysctl(routeLocalnet, "1")
}

// sysctl reads one of the node's: /proc/sys/net shows the namespace of the thread.
func (t *tool) sysctl(name string) (value string, err error) {
	err = t.run(func() error {
		b, err := os.ReadFile("/proc/sys/" + name)
		value = strings.TrimSpace(string(b))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read sysctl %s: %w", name, err)
	}
	return value, nil
}

func (t *tool) setSysctl(name, value string) error {
	if have, err := t.sysctl(name); err != nil || have == value {
		return err
	}
	if t.fault != nil {
		if err := t.fault(); err != nil {
			return err
		}
	}
	err := t.run(func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) })
	if err != nil {
		return fmt.Errorf("set sysctl %s to %s: %w", name, value, err)
	}
	return nil
}
