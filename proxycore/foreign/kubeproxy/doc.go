// Package kubeproxy is a module of its own, of which nothing is imported: its go.mod pins the kube-proxy that svclab is
// refereed by, as a Go tool dependency, and the script build beside it builds that version or another. So the module
// svclab stays free of k8s.io/kubernetes.
package kubeproxy
