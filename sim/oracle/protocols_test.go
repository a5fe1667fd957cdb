package oracle

import (
	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
)

// sctpService is a NodePort Service of SCTP alone, port 80 to 9000, with one endpoint that serves it: nobody's, in places.
func sctpService() *History {
	s := myservice(func(s *corev1.Service) {
		s.Spec.Type = corev1.ServiceTypeNodePort
		s.Spec.Ports = []corev1.ServicePort{{Name: "sctp", Port: 80, NodePort: 30080, Protocol: corev1.ProtocolSCTP}}
	})
	var snapshot *cluster.Snapshot
	return in(snapshot.WithService(s).WithSlice(sliceOf("four", ports(port("sctp", 9000, corev1.ProtocolSCTP)), "10.2.0.2")))
}

func protocolCells() []cell {
	web, none := frontsOf("web-1", "web-2"), frontsOf()
	return []cell{
		{"echo to a ClusterIP", web, "pod/client 172.20.0.1/ICMP", "", "or silent; or unreachable; or refused", "CIP-13"},
		{"echo to a ClusterIP, node", none, "node/node-1 [fd20::1]/ICMP", "", "or silent; or unreachable; or denied; or refused", "CIP-13"},
		{"echo to an externalIP, outside client", web, "client/laptop 198.51.100.7/ICMP", "", "or silent; or unreachable; or refused", "CIP-13"},
		{"echo to a pod", web, "pod/client 10.2.0.2/ICMP", "", "100% 10.2.0.2:0 sees 10.1.0.9", "CIP-14 M-1"},
		{"echo to a node", web, "pod/client 192.0.2.1/ICMP", "", "100% 192.0.2.1:0 sees 10.1.0.9", "CIP-14 M-5"},
		{"echo of a node to its pod", web, "node/node-1 [fd01::1]/ICMP", "", "100% [fd01::1]:0 sees 2001:db8::1|link-local", "CIP-14 M-3"},
		{"echo to nobody", web, "pod/client 172.20.0.9/ICMP", "", "or silent; or unreachable", "CIP-12"},
		{"SCTP where nobody listens", sctpService, "pod/client 172.20.0.1:80/SCTP", "", "or reset", "CIP-3 M-12"},
		{"SCTP NodePort where nobody listens", sctpService, "client/laptop 192.0.2.1:30080/SCTP", "", "or reset", "CIP-3 M-12"},
		{"the same number under TCP", sctpService, "node/node-1 172.20.0.1:80/TCP", "", "or refused; or silent", "CIP-11"},
		{"an unused port of SCTP, node", web, "node/node-1 172.20.0.1:80/SCTP", "", "or denied; or refused; or silent", "CIP-11"},
	}
}
