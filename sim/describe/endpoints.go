package describe

//lint:file-ignore SA1019 Endpoints are deprecated, and described for those who still ask for them.

import (
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Endpoints writes a Service's Endpoints, as the API server derives them from its EndpointSlices.
func Endpoints(out io.Writer, e *corev1.Endpoints) error {
	return write(out, func(w *writer) {
		w.meta(&e.ObjectMeta)
		w.line(0, "Subsets:")
		for _, sub := range e.Subsets {
			list := func(label string, addresses []corev1.EndpointAddress) {
				var texts []string
				for _, a := range addresses {
					texts = append(texts, a.IP)
				}
				w.line(1, "%s:\t%s", label, none(strings.Join(texts, ",")))
			}
			list("Addresses", sub.Addresses)
			list("NotReadyAddresses", sub.NotReadyAddresses)
			if len(sub.Ports) > 0 {
				w.line(1, "Ports:")
				w.line(2, "Name\tPort\tProtocol")
				w.line(2, "----\t----\t--------")
				for _, p := range sub.Ports {
					w.line(2, "%s\t%d\t%s", unset(p.Name), p.Port, p.Protocol)
				}
			}
			w.line(0, "")
		}
		w.line(0, "Events:\t<none>")
	})
}
