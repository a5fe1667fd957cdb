package describe

import (
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// roleLabel begins the labels that say a node's roles.
const roleLabel = "node-role.kubernetes.io/"

// Node writes a Node, and the pods that run on it.
func Node(out io.Writer, n *corev1.Node, pods []*corev1.Pod) error {
	return write(out, func(w *writer) {
		w.line(0, "Name:\t%s", n.Name)
		w.line(0, "Roles:\t%s", none(strings.Join(rolesOf(n), ",")))
		w.pairs("Labels", n.Labels, "=")
		w.annotations(n.Annotations)
		if !n.CreationTimestamp.IsZero() {
			w.line(0, "CreationTimestamp:\t%s", n.CreationTimestamp.Format(time.RFC1123Z))
		}
		w.taints(n.Spec.Taints)
		w.line(0, "Unschedulable:\t%v", n.Spec.Unschedulable)
		if len(n.Status.Conditions) > 0 {
			w.line(0, "Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage")
			w.line(1, "----\t------\t-----------------\t------------------\t------\t-------")
			for _, c := range n.Status.Conditions {
				w.line(1, "%v \t%v \t%s \t%s \t%v \t%v", c.Type, c.Status, c.LastHeartbeatTime.Format(time.RFC1123Z), c.LastTransitionTime.Format(time.RFC1123Z), c.Reason, c.Message)
			}
		}
		w.line(0, "Addresses:")
		for _, a := range n.Status.Addresses {
			w.line(1, "%s:\t%s", a.Type, a.Address)
		}
		for _, part := range []struct {
			title string
			list  corev1.ResourceList
		}{{"Capacity", n.Status.Capacity}, {"Allocatable", n.Status.Allocatable}} {
			if len(part.list) > 0 {
				w.line(0, "%s:", part.title)
			}
			for _, name := range sortedNames(part.list) {
				q := part.list[name]
				w.line(1, "%s:\t%s", name, q.String())
			}
		}
		if n.Status.NodeInfo != (corev1.NodeSystemInfo{}) {
			w.systemInfo(&n.Status.NodeInfo)
		}
		if n.Spec.PodCIDR != "" {
			w.line(0, "PodCIDR:\t%s", n.Spec.PodCIDR)
		}
		if len(n.Spec.PodCIDRs) > 0 {
			w.line(0, "PodCIDRs:\t%s", strings.Join(n.Spec.PodCIDRs, ","))
		}
		if n.Spec.ProviderID != "" {
			w.line(0, "ProviderID:\t%s", n.Spec.ProviderID)
		}
		w.line(0, "Non-terminated Pods:\t(%d in total)", len(pods))
		w.line(1, "Namespace\tName\t\tIP")
		w.line(1, "---------\t----\t\t--")
		for _, p := range pods {
			w.line(1, "%s\t%s\t\t%s", p.Namespace, p.Name, none(p.Status.PodIP))
		}
		w.line(0, "Events:\t<none>")
	})
}

func rolesOf(n *corev1.Node) (roles []string) {
	for k, v := range n.Labels {
		if role, ok := strings.CutPrefix(k, roleLabel); ok && role != "" {
			roles = append(roles, role)
		} else if k == "kubernetes.io/role" && v != "" {
			roles = append(roles, v)
		}
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

func (w *writer) taints(list []corev1.Taint) {
	if len(list) == 0 {
		w.line(0, "Taints:\t<none>")
		return
	}
	title := "Taints:"
	byEffect := func(a, b corev1.Taint) int {
		return strings.Compare(string(a.Effect)+","+a.Key, string(b.Effect)+","+b.Key)
	}
	for _, t := range slices.SortedFunc(slices.Values(list), byEffect) {
		w.line(0, "%s\t%s", title, t.ToString())
		title = ""
	}
}

func (w *writer) systemInfo(i *corev1.NodeSystemInfo) {
	w.line(0, "System Info:")
	for _, field := range [][2]string{
		{"Machine ID", i.MachineID}, {"System UUID", i.SystemUUID}, {"Boot ID", i.BootID}, {"Kernel Version", i.KernelVersion}, {"OS Image", i.OSImage},
		{"Operating System", i.OperatingSystem}, {"Architecture", i.Architecture}, {"Container Runtime Version", i.ContainerRuntimeVersion}, {"Kubelet Version", i.KubeletVersion},
	} {
		w.line(1, "%s:\t%s", field[0], field[1])
	}
}
