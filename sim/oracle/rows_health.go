package oracle

// healthRows are what load balancers are told.
var healthRows = []Row{
	{"LB-15", "At the health-check NodePort a node answers 200 where it has a ready endpoint, else 503; header and body say how many.",
		"service_health.go:251; healthcheck_test.go:146; lb:1081", ""},
	{"LB-17", "A node whose endpoints all terminate answers 503, although what comes still reaches them.", "svc:2823", ""},
	{"LB-19", "It is answered at those addresses of a node that answer NodePorts, and at no others.", "healthcheck_test.go:966",
		"127.0.0.1: kube-proxy answers there too where nodePortAddresses say nothing."},
}
