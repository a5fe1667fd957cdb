package describe

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Pod writes a Pod.
func Pod(out io.Writer, pod *corev1.Pod) error {
	return write(out, func(w *writer) {
		spec, status := &pod.Spec, &pod.Status
		optional := func(label, text string) {
			if text != "" {
				w.line(0, "%s:\t%s", label, text)
			}
		}
		w.line(0, "Name:\t%s", pod.Name)
		w.line(0, "Namespace:\t%s", pod.Namespace)
		if spec.Priority != nil {
			w.line(0, "Priority:\t%d", *spec.Priority)
		}
		optional("Priority Class Name", spec.PriorityClassName)
		optional("Runtime Class Name", deref(spec.RuntimeClassName))
		optional("Service Account", spec.ServiceAccountName)
		if spec.NodeName == "" {
			w.line(0, "Node:\t<none>")
		} else {
			w.line(0, "Node:\t%s/%s", spec.NodeName, status.HostIP)
		}
		if status.StartTime != nil {
			w.line(0, "Start Time:\t%s", status.StartTime.Format(time.RFC1123Z))
		}
		w.pairs("Labels", pod.Labels, "=")
		w.annotations(pod.Annotations)
		if ends := pod.DeletionTimestamp != nil && status.Phase != corev1.PodFailed && status.Phase != corev1.PodSucceeded; ends {
			w.line(0, "Status:\tTerminating (since %s)", pod.DeletionTimestamp.Format(time.RFC1123Z))
			if pod.DeletionGracePeriodSeconds != nil {
				w.line(0, "Termination Grace Period:\t%ds", *pod.DeletionGracePeriodSeconds)
			}
		} else {
			w.line(0, "Status:\t%s", status.Phase)
		}
		optional("Reason", status.Reason)
		optional("Message", status.Message)
		w.line(0, "IP:\t%s", status.PodIP)
		w.podIPs(status.PodIPs)
		if c := metav1.GetControllerOf(pod); c != nil {
			w.line(0, "Controlled By:\t%s/%s", c.Kind, c.Name)
		}
		if len(spec.InitContainers) > 0 {
			w.containers("Init Containers", spec.InitContainers, status.InitContainerStatuses)
		}
		w.containers("Containers", spec.Containers, status.ContainerStatuses)
		if len(spec.ReadinessGates) > 0 {
			w.line(0, "Readiness Gates:\n  Type\tStatus")
			for _, g := range spec.ReadinessGates {
				i := slices.IndexFunc(status.Conditions, func(c corev1.PodCondition) bool { return c.Type == g.ConditionType })
				text := "<none>"
				if i >= 0 {
					text = string(status.Conditions[i].Status)
				}
				w.line(1, "%v \t%v ", g.ConditionType, text)
			}
		}
		if len(status.Conditions) > 0 {
			w.line(0, "Conditions:\n  Type\tStatus")
			for _, c := range status.Conditions {
				w.line(1, "%v \t%v ", c.Type, c.Status)
			}
		}
		w.volumes(spec.Volumes)
		w.line(0, "QoS Class:\t%s", qualityOf(pod))
		w.pairs("Node-Selectors", spec.NodeSelector, "=")
		w.tolerations(spec.Tolerations)
		w.line(0, "Events:\t<none>")
	})
}

func (w *writer) podIPs(list []corev1.PodIP) {
	if len(list) == 0 {
		w.line(0, "IPs:\t<none>")
		return
	}
	w.line(0, "IPs:")
	for _, ip := range list {
		w.line(1, "IP:\t%s", ip.IP)
	}
}

func (w *writer) containers(title string, list []corev1.Container, statuses []corev1.ContainerStatus) {
	if len(list) == 0 {
		title += ": <none>"
	} else {
		title += ":"
	}
	w.line(0, "%s", title)
	for i := range list {
		c := &list[i]
		at := slices.IndexFunc(statuses, func(s corev1.ContainerStatus) bool { return s.Name == c.Name })
		w.line(1, "%s:", c.Name)
		if at >= 0 {
			w.line(2, "Container ID:\t%s", statuses[at].ContainerID)
		}
		w.line(2, "Image:\t%s", c.Image)
		if at >= 0 {
			w.line(2, "Image ID:\t%s", statuses[at].ImageID)
		}
		w.ports("Port", c.Ports, func(p corev1.ContainerPort) int32 { return p.ContainerPort })
		w.ports("Host Port", c.Ports, func(p corev1.ContainerPort) int32 { return p.HostPort })
		w.words("Command", c.Command)
		w.words("Args", c.Args)
		if at >= 0 {
			w.state(&statuses[at])
		}
		w.resources("Limits", c.Resources.Limits)
		w.resources("Requests", c.Resources.Requests)
		w.environment(c.Env)
		if len(c.VolumeMounts) == 0 {
			w.line(2, "Mounts:\t<none>")
		} else {
			w.line(2, "Mounts:")
		}
		for _, m := range slices.SortedFunc(slices.Values(c.VolumeMounts), func(a, b corev1.VolumeMount) int { return strings.Compare(a.MountPath, b.MountPath) }) {
			mode := "rw"
			if m.ReadOnly {
				mode = "ro"
			}
			if m.SubPath != "" {
				mode += fmt.Sprintf(",path=%q", m.SubPath)
			}
			w.line(3, "%s from %s (%s)", m.MountPath, m.Name, mode)
		}
	}
}

func (w *writer) ports(title string, ports []corev1.ContainerPort, number func(corev1.ContainerPort) int32) {
	var texts []string
	for _, p := range ports {
		text := fmt.Sprintf("%d/%s", number(p), p.Protocol)
		if p.Name != "" {
			text += " (" + p.Name + ")"
		}
		texts = append(texts, text)
	}
	if len(texts) > 1 {
		title += "s"
	}
	w.line(2, "%s:\t%s", title, none(strings.Join(texts, ", ")))
}

func (w *writer) words(title string, list []string) {
	if len(list) > 0 {
		w.line(2, "%s:", title)
	}
	for _, word := range list {
		for line := range strings.SplitSeq(word, "\n") {
			w.line(3, "%s", line)
		}
	}
}

func (w *writer) state(s *corev1.ContainerStatus) {
	switch {
	case s.State.Running != nil:
		w.line(2, "State:\tRunning")
		w.line(2, "  Started:\t%s", s.State.Running.StartedAt.Format(time.RFC1123Z))
	case s.State.Terminated != nil:
		w.line(2, "State:\tTerminated")
		w.line(2, "  Exit Code:\t%d", s.State.Terminated.ExitCode)
	default:
		w.line(2, "State:\tWaiting")
		if s.State.Waiting != nil && s.State.Waiting.Reason != "" {
			w.line(2, "  Reason:\t%s", s.State.Waiting.Reason)
		}
	}
	ready := "False"
	if s.Ready {
		ready = "True"
	}
	w.line(2, "Ready:\t%s", ready)
	w.line(2, "Restart Count:\t%d", s.RestartCount)
}

func (w *writer) resources(title string, list corev1.ResourceList) {
	if len(list) > 0 {
		w.line(2, "%s:", title)
	}
	for _, name := range sortedNames(list) {
		q := list[name]
		w.line(3, "%s:\t%s", name, q.String())
	}
}

func sortedNames(list corev1.ResourceList) (names []corev1.ResourceName) {
	for name := range list {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (w *writer) environment(list []corev1.EnvVar) {
	if len(list) == 0 {
		w.line(2, "Environment:\t<none>")
		return
	}
	w.line(2, "Environment:")
	for _, e := range list {
		value := e.Value
		if e.ValueFrom != nil {
			value = "<set from elsewhere>"
		}
		w.line(3, "%s:\t%s", e.Name, value)
	}
}

func (w *writer) volumes(list []corev1.Volume) {
	if len(list) == 0 {
		w.line(0, "Volumes:\t<none>")
		return
	}
	w.line(0, "Volumes:")
	for _, v := range list {
		w.line(1, "%s:", v.Name)
	}
}

func (w *writer) tolerations(list []corev1.Toleration) {
	if len(list) == 0 {
		w.line(0, "Tolerations:\t<none>")
		return
	}
	title := "Tolerations:"
	for _, t := range slices.SortedStableFunc(slices.Values(list), func(a, b corev1.Toleration) int { return strings.Compare(a.Key, b.Key) }) {
		text := t.Key
		if t.Value != "" {
			text += "=" + t.Value
		}
		if t.Effect != "" {
			text += ":" + string(t.Effect)
		}
		if t.Operator == corev1.TolerationOpExists && t.Value == "" {
			if t.Key != "" || t.Effect != "" {
				text += " "
			}
			text += "op=Exists"
		}
		if t.TolerationSeconds != nil {
			text += fmt.Sprintf(" for %ds", *t.TolerationSeconds)
		}
		w.line(0, "%s\t%s", title, text)
		title = ""
	}
}

// qualityOf is the class that the kubelet would give (kubernetes pkg/apis/core/v1/helper/qos: ComputePodQOS).
func qualityOf(pod *corev1.Pod) corev1.PodQOSClass {
	if pod.Status.QOSClass != "" {
		return pod.Status.QOSClass
	}
	asked, guaranteed := false, true
	for _, c := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, wants := c.Resources.Requests[name]
			limit, limited := c.Resources.Limits[name]
			asked = asked || wants && !request.IsZero() || limited && !limit.IsZero()
			guaranteed = guaranteed && limited && !limit.IsZero() && (!wants || request.Cmp(limit) == 0)
		}
	}
	switch {
	case !asked:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}
