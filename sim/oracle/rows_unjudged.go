package oracle

// Unjudged is a row of the specification that no scenario judges, and why not.
type Unjudged struct {
	ID, Text, Reason string
	// DumpOnly rows show in what a proxy programs, or in what becomes of its process, and tests of the proxies look there.
	DumpOnly bool
}

// NotJudged are the rows that are not in Rows: together they are the whole specification.
var NotJudged = []Unjudged{
	{"CIP-30", "Rules stay in force while the API server is away.", "the API server's: its connection is not the lab's to break", false},

	{"NP-8", "With route_localnet packets to 127.0.0.0/8 from elsewhere are dropped.",
		"a packet with a loopback address on the wire needs a raw sender; the kernel tests of proxycore/iptables look for the rule", true},
	{"NP-12", "NodePorts are answered at an address that a node gets later.", "the lab gives its nodes no addresses later", false},
	{"NP-19", "With FORWARD policy DROP what is masqueraded is accepted.",
		"no scenario sets the node's own firewall; the kernel tests of proxycore/iptables do", true},

	{"EXT-7", "With the feature gate AllowServiceExternalIPs off, externalIPs are ignored.", "a gate of kube-proxy's own", false},
	{"EXT-8", "Packets to externalIPs from bridge ports are exempt.", "mode ipvs only", false},

	{"LB-5", "An ingress with a hostname only has no rules.", "a name is not an address: there is nothing to call", true},
	{"LB-16", "Packets to the health-check NodePort pass a firewall with INPUT policy DROP.", "no scenario sets the node's own firewall", true},
	{"LB-18", "With a stale proxy, the health-check NodePort says 503.", "HTTP, tested in proxycore/health", false},

	{"POL-16", "A metric counts fronts with policy Local and no local endpoint.", "a metric, tested in proxycore/metrics", false},

	{"NE-6", "A ClusterIP that a node has itself refuses without endpoints.", "mode ipvs has ClusterIPs on an interface, others do not", false},

	{"TOPO-12", "The controller computes hints from the annotation topology-mode.", "the control plane's: needs CPUs per zone", false},

	{"FAM-6", "There is no route_localnet, nor a rule about loopback addresses, in IPv6.", "the absence of a rule: mode iptables", true},

	{"SRC-6", "The mark for masquerade is one bit, and is cleared afterwards.", "marks are not on the wire; tests of the dumps look for them", true},

	{"CT-11", "Cleaning up 100,000 entries does not hold up a sync.", "a measure, taken in proxycore/conntrack", false},
	{"CT-13", "What is INVALID to connection tracking is dropped before it reaches the client.",
		"the lab's nodes are liberal (CT-14), so nothing is INVALID for its number; a kernel test of the lab takes that back", false},
	{"CT-15", "The proxy sets sysctls of connection tracking.", "they are the machine's, not a namespace's", false},

	{"LIFE-1", "Before all Services and slices are known nothing is written.", "the core is handed whole states; kube-proxy's informers are its own", false},
	{"LIFE-6", "What could not be written is written whole the next time.", "needs a kernel that refuses; tests of the core and the backends have one", true},
	{"LIFE-7", "Once an hour everything is written anew.", "takes an hour; the core heals by looking instead", false},
	{"LIFE-8", "In large clusters fewer comments are written.", "mode iptables of kube-proxy only; packets are the same", false},
	{"LIFE-9", "Chains that are not used are deleted later.", "seen in dumps: tests of the backends compare them", true},
	{"LIFE-10", "Who changes the mode finds the rules of the other removed.", "kube-proxy's own clean-up at its start", false},
	{"LIFE-11", "The command --cleanup removes all rules.", "a command of kube-proxy's; ours removes its rules when it is closed, seen in dumps", true},
	{"LIFE-12", "Virtual servers in excludeCIDRs survive.", "mode ipvs only", false},
	{"LIFE-13", "With --init-only the process sets up and ends.", "a command of kube-proxy's", false},
	{"LIFE-14", "When its configuration or its node's pod range changes the process ends.", "the process' own affair; the lab restarts none by itself", false},
	{"LIFE-15", "A change of the node's address is not acted upon.", "upstream's FIXME (node.go:194), not a promise; our core follows", false},
	{"LIFE-16", "Other tables are left alone.", "seen in dumps: the backends' tests have tables of others", true},
	{"LIFE-17", "The hollow proxy does nothing in the kernel.", "kubemark only", false},
	{"LIFE-18", "Kernel settings are made at the start.", "mode ipvs only", false},

	{"M-7", "No two pods have one address.", "the CNI's; in the lab a scenario that has it so is refused", false},
	{"M-14", "A hostPort leads to its pod.", "the CNI's, not a Service proxy's", false},
	{"M-15", "A pod reaches the world outside.", "the CNI's, not a Service proxy's; nobody answers there in the lab", false},
}
