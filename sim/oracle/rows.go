package oracle

import "slices"

// Row is one row of the specification as far as it is judged: what must be seen, in one sentence.
type Row struct {
	ID, Text string
	// Source is where upstream says or tests it: Kubernetes v1.36.3 unless another is named; ipt and nft are
	// pkg/proxy/iptables and nftables, proxier.go, svc, net and conntrack the files of test/e2e/network.
	Source string
	// Freedom is what implementations may do differently, and the oracle permits; empty where they may not.
	Freedom string
}

// Rows are the rows that the rules and the selection of endpoints stand for.
var Rows = slices.Concat(inwardRows, outwardRows, protocolRows, healthRows)

// inwardRows are about what Services are inside the cluster, about their endpoints, and about the network itself; by area.
var inwardRows = []Row{
	{"CIP-1", "A pod reaches an endpoint on another node through the ClusterIP, and the endpoint sees the pod's own address.",
		"svc:1020; ipt_test:5066 TestInternalExternalMasquerade", ""},
	{"CIP-2", "So it does when the endpoint is on its own node: the reply comes from the ClusterIP all the same.",
		"net:147 (mixed placement)", ""},
	{"CIP-3", "Each new flow goes to one of the usable endpoints, at random, each as likely, whatever came before.",
		"ipt:1469; nft:1790; ipt_test:2858 TestComputeProbability", ""},
	{"CIP-4", "A flow keeps its endpoint for its lifetime, whatever happens to the Service.",
		"pkg/proxy/conntrack/cleanup.go:75", ""},
	{"CIP-5", "A node's own process reaches every endpoint, which sees an address of that node.",
		"ipt_test:5090; net:191", "Which of the node's addresses: routing chooses."},
	{"CIP-6", "A client outside the cluster that is routed to a node reaches every endpoint, which sees an address of that node.",
		"ipt_test:5122; ipt:1086", "Which of the node's addresses: routing chooses."},
	{"CIP-8", "Each port of a Service leads to its own target port, and to no other Service's.",
		"svc:803; nft_test:533", ""},
	{"CIP-9", "The same number under TCP, UDP and SCTP is three ports.", "svc:3579; nft_test:533", ""},
	{"CIP-10", "A named target port may be another number on each pod: slices are merged by the name of the port.", "svc:4116", ""},
	{"CIP-11", "A port that the Service does not have is not served.",
		"nft:500; nft_test:698; ipt_test:1896 expects nothing",
		"Refused (nftables, ipvs) or routed on as if there were no Service (iptables)."},
	{"CIP-12", "An address that belongs to no Service is not served.",
		"nft:509; nft_test:713", "Dropped (nftables, where ServiceCIDRs are known) or routed on."},
	{"CIP-14", "Headless Services and pod addresses are none of the proxy's business: nothing is translated.",
		"pkg/proxy/util/utils.go:56; ipt_test:3005", ""},
	{"CIP-15", "An ExternalName Service is not served.", "svc:1423; ipt_test:3034", ""},
	{"CIP-16", "A Service with the label service.kubernetes.io/service-proxy-name is left to another proxy.",
		"svc:2294; cmd/kube-proxy/app/server.go:573", ""},
	{"CIP-18", "Several Services may share their pods: each is a front of its own, and removing one does not disturb the other.", "net:280", ""},
	{"CIP-19", "When a Service is deleted its ClusterIP serves no new flow.", "svc:1125", ""},
	{"CIP-20", "New flows use the current endpoints and never a removed one.", "net:325, 342; ipt_test:3193", ""},
	{"CIP-21", "The endpoints of a Service are those of all slices that name it, whoever wrote them.",
		"endpointslice.go (e2e):458; pkg/proxy/endpointslicecache_test.go:33", ""},
	{"CIP-22", "A port of a slice without a name or a number is ignored.", "pkg/proxy/endpointslicecache.go:168", ""},
	{"CIP-23", "Conditions that are not given mean ready, serving and not terminating.", "pkg/proxy/endpointslicecache.go:211", ""},
	{"CIP-24", "Of an endpoint's addresses the first counts.", "pkg/proxy/endpointslicecache.go:231", ""},
	{"CIP-25", "An address and port in two slices is one endpoint; the copy that does not terminate wins.",
		"pkg/proxy/endpointslicecache.go:241; kubernetes/kubernetes#135593", ""},
	{"CIP-26", "Slices of another family, or of names, are ignored.", "pkg/proxy/endpointschangetracker.go:82", ""},

	{"HP-1", "A pod that reaches itself through its Service sees an address of its node as the client, never its own.",
		"svc:1095; ipt:1247; nft:484; ipt_test:1896", "Which of the node's addresses: that of the link to the pod."},
	{"HP-4", "A hostNetwork endpoint is reached at its node's address; a pod's source is kept, and so is an outside client's where it enters by that very node.",
		"net:471; for the outside client netfilter's hooks: no postrouting before local delivery", ""},
	{"HP-5", "A node that reaches itself through a Service sees an address of its own.",
		"svc:2668 (indirectly)", "Which of the node's addresses: the kernel chooses."},
	{"HP-6", "A hostNetwork pod as a client is its node.", "svc:2597; conntrack (e2e):391", ""},

	{"NP-1", "Whoever calls a node's address at a NodePort reaches every endpoint, also where that node has none; the endpoint sees an address of that node.",
		"ipt_test:5130; svc:1287; net:381", "Which of the node's addresses: routing chooses."},
	{"NP-2", "So does a pod that calls its own node.", "ipt_test:5074", "Which of the node's addresses: routing chooses."},
	{"NP-3", "So does a pod that calls another node: the node that was called translates.", "svc:1287", "Which of the node's addresses: routing chooses."},
	{"NP-4", "So does a node's process that calls its own node.", "ipt_test:5098", "Which of the node's addresses: routing chooses."},
	{"NP-13", "A NodePort wins over a process that listens on that number; the node's other ports are its own.", "none upstream; DNAT comes before local delivery", ""},
	{"NP-14", "A NodePort without endpoints is refused, whoever listens there.", "ipt:1049; nft:587", ""},
	{"NP-15", "The same NodePort number under TCP and UDP is two ports.", "svc:1350", ""},
	{"NP-16", "A NodePort that is removed or moved is not served any more.", "net:360, 391", ""},

	{"EXT-1", "Whoever calls an externalIP reaches every endpoint, which sees an address of the node that translated: the caller's own, or the one an outside client enters by. Of several Services that claim it the oldest has it.",
		"svc:1313; ipt_test:2743; claims: kubernetes/kubernetes#69599", "Which of the node's addresses: routing chooses."},
	{"EXT-3", "From inside, an externalIP never leaves the node of the caller; with policy Local a pod reaches every endpoint with its own address, and so does a node, masqueraded.",
		"ipt_test:2625", ""},
	{"EXT-4", "An externalIP that is a node's address too is captured at the Service's port only.", "none upstream", ""},
	{"EXT-5", "A port of an externalIP that no Service has is nobody's.", "ipt and nft: no rule; ipvs refuses", ""},
	{"EXT-6", "An externalIP without endpoints is refused.", "ipt_test:1818", ""},

	{"AFF-1", "With sessionAffinity ClientIP a client's new flows go to the endpoint that it had before; other clients may have others.",
		"svc:2229, 2266; net:413, 431", ""},
	{"AFF-2", "A client that has started no new flow for the timeout (timeoutSeconds, three hours unless given) may be given any endpoint.",
		"svc:2235, 2272", "A connection that goes on may count (ipvs) or not (iptables, nftables)."},
	{"AFF-3", "When affinity was switched off meanwhile, or the endpoint was not in use for a while, the choice may be free again.",
		"svc:2251, 2288", "What was remembered may be forgotten, or hold again."},
	{"AFF-4", "The addresses of one port of a Service may share what is remembered of a client.",
		"nft:1602", "Shared by ClusterIP, NodePort and externalIPs (iptables, nftables), or not (ipvs)."},
	{"AFF-5", "The ports of a Service remember their clients each for itself.", "none upstream", ""},
	{"AFF-6", "When a client's endpoint goes, its next flow goes to another, where it stays; other clients do not move.",
		"nft and ipt: what is remembered goes with the endpoint's chain and set", ""},
	{"AFF-8", "Each node remembers its clients for itself; those behind one masquerade are one client.", "none upstream", ""},
	{"AFF-9", "However many clients there are, each is remembered.", "none upstream",
		"Where xt_recent remembers (iptables), the kernel keeps 100 clients of each endpoint unless ip_list_tot says otherwise."},

	{"TERM-1", "While there is a ready endpoint, terminating ones get no new flow.", "KEP-1669; pkg/proxy/topology.go:57", ""},
	{"TERM-2", "Without a ready endpoint, those that terminate but still serve get the new flows.", "KEP-1669; svc:2920", ""},
	{"TERM-6", "An endpoint that terminates and serves no more is never used.", "KEP-1669; ipt_test:4285", ""},
	{"TERM-7", "An endpoint that is not ready and does not terminate is never used.", "pkg/proxy/topology_test.go:49; svc:2068", ""},
	{"TERM-10", "With publishNotReadyAddresses pods are asked whether they are ready or not: their slices say ready.", "svc:1792; svc:1948", ""},
	{"TERM-11", "Without it, a Service whose pods are all unready refuses.", "svc:2068", ""},

	{"NE-1", "Without a usable endpoint a client is refused at once: ICMP port unreachable, for TCP too.",
		"svc:2419; ipt_test:1818; nft_test:456", ""},
	{"NE-2", "So is a node's own process.", "ipt_test:1818; ipt:377",
		"UDP: the node's kernel may deny the send (EPERM), as a rule in its output hook rejects the packet."},
	{"NE-3", "So is whoever calls a NodePort.", "ipt_test:1818; nft_test:456", ""},
	{"NE-4", "So is whoever calls an externalIP from elsewhere.", "ipt_test:1818", ""},
	{"NE-5", "So is a node's own process that calls an externalIP.", "nft:373; ipt:377",
		"kube-proxy's iptables mode lets the packet leave by the default route."},
	{"NE-9", "Over IPv6 the refusal is ICMPv6 port unreachable.", "ipt_test:1818 and nft_test:456 (rule text only)",
		"TCP learns of it a second late: the kernel reports it at the first retransmission."},

	{"CT-1", "A UDP socket whose endpoint is gone reaches a current one with its next datagram.",
		"conntrack (e2e):218; pkg/proxy/conntrack/cleanup_test.go:89", ""},
	{"CT-4", "So does the UDP socket of a node's own process.", "conntrack (e2e):391", ""},
	{"CT-5", "A UDP socket that sent before there was an endpoint works as soon as there is one.", "conntrack (e2e):481", ""},
	{"CT-7", "A UDP socket whose Service has no endpoint left is refused, as a new one would be.",
		"kubernetes/kubernetes#139628: kube-proxy up to v1.36.3 leaves it on the dead pod (conntrack/cleanup.go:89), a bug since fixed", ""},
	{"CT-8", "A UDP socket may stay with an endpoint that still serves, though new flows go elsewhere.",
		"pkg/proxy/conntrack/cleanup.go:75", "It may also move."},
	{"CT-10", "A UDP socket may outlive its Service.",
		"pkg/proxy/endpointschangetracker.go:212", "It may also end with it."},

	{"M-1", "A pod reaches a pod on another node and is seen with its own address.", "no_snat.go:67", ""},
	{"M-2", "A pod reaches a pod on its node and is seen with its own address.", "networking model", ""},
	{"M-3", "A node reaches its pods.", "networking model; net:471", "Which of the node's addresses: routing chooses."},
	{"M-4", "A node reaches the pods of other nodes.", "net:191", "Which of the node's addresses: routing chooses."},
	{"M-5", "Pods and nodes reach a node's address, pods with their own.", "networking model", ""},
	{"M-12", "What is delivered is answered by the server's own kernel: who does not listen resets TCP and reports UDP unreachable.",
		"net:147-276; RFC 9293, RFC 1122 (not Kubernetes)", ""},
	{"M-16", "Each family works on its own: who has no address of a family cannot use it.", "dual_stack.go:170", ""},
	{"SRC-8", "Where a node's own address is seen, it is that of the interface towards the server: to its own pod it may be a link-local one.",
		"svc:2796 (comment); masquerade is the kernel's", ""},
	{"LIFE-2", "A proxy that restarts takes over what it finds: neither old nor new flows notice.", "svc:1207; nft_test:4253 TestSyncProxyRulesStartup", ""},
	{"LIFE-3", "Rules that somebody else flushes come back.", "ipt:314 (canary chain); net:548",
		"How soon: kube-proxy's nftables mode heals at a full sync only."},
}
