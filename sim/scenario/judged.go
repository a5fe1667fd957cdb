package scenario

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// bearings are what the fields of one type of the API mean to the lab. Every field is in one of the three: a test asks
// the API for its fields, so that a new one cannot slip in and be taken for something that it is not.
type bearings struct {
	judged   string             // what they do to packets is carried out, and judged
	harmless string             // they do nothing to packets, or are only the reason of something else that is written too
	refused  map[string]refusal // they change what a Service does, and nothing judges that yet
}

// refusal is a field that is refused when it says something. An empty value, a zero or false says nothing.
type refusal struct {
	unless func(v, parent, root *value) bool // what may be written all the same; nil: nothing
	remedy string
}

// leaveOut is the remedy where there is no other.
const leaveOut = "leave it out"

// placed: what the scheduler went by says nothing once the pod has its node.
func placed(_, spec, _ *value) bool { return spec.get("nodeName").str() != "" }

// hostPort: in its node's network a pod's port is the node's, which the API repeats in this field.
func ofItsNode(_, port, pod *value) bool {
	n, of := port.get("hostPort"), port.get("containerPort")
	own := pod.get("spec").get("hostNetwork")
	return own != nil && own.text == "true" && n != nil && of != nil && n.text == of.text
}

var bearing = map[reflect.Type]bearings{
	reflect.TypeFor[corev1.Service](): {judged: "apiVersion kind metadata spec status"},
	reflect.TypeFor[corev1.ServiceSpec](): {
		judged: "ports selector clusterIP clusterIPs type externalIPs sessionAffinity sessionAffinityConfig publishNotReadyAddresses " +
			"ipFamilies ipFamilyPolicy externalTrafficPolicy internalTrafficPolicy healthCheckNodePort trafficDistribution " +
			"loadBalancerSourceRanges allocateLoadBalancerNodePorts",
		harmless: "externalName loadBalancerIP loadBalancerClass",
	},
	reflect.TypeFor[corev1.ServicePort](): {
		judged:   "name port targetPort nodePort protocol",
		harmless: "appProtocol",
	},
	reflect.TypeFor[corev1.SessionAffinityConfig](): {judged: "clientIP"},
	reflect.TypeFor[corev1.ClientIPConfig]():        {judged: "timeoutSeconds"},
	reflect.TypeFor[corev1.ServiceStatus]():         {judged: "loadBalancer", harmless: "conditions"},
	reflect.TypeFor[corev1.LoadBalancerStatus]():    {judged: "ingress"},
	reflect.TypeFor[corev1.LoadBalancerIngress](): {
		judged: "ip ipMode", harmless: "hostname ports",
	},

	reflect.TypeFor[corev1.Pod](): {judged: "apiVersion kind metadata spec status"},
	reflect.TypeFor[corev1.PodSpec](): {
		judged: "nodeName hostNetwork containers initContainers",
		harmless: "volumes ephemeralContainers restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy serviceAccountName " +
			"serviceAccount automountServiceAccountToken hostPID hostIPC shareProcessNamespace securityContext imagePullSecrets hostname " +
			"subdomain schedulerName tolerations hostAliases priorityClassName priority dnsConfig readinessGates runtimeClassName " +
			"enableServiceLinks preemptionPolicy overhead setHostnameAsFQDN os hostUsers resourceClaims resources hostnameOverride " +
			"schedulingGroup",
		refused: map[string]refusal{
			"nodeSelector":              {placed, "nothing schedules here: write the nodeName that it leads to"},
			"affinity":                  {placed, "nothing schedules here: write the nodeName that it leads to"},
			"topologySpreadConstraints": {placed, "nothing schedules here: write the nodeName that it leads to"},
			"schedulingGates":           {placed, "nothing schedules here: leave the pod out until it is on a node"},
		},
	},
	reflect.TypeFor[corev1.Container](): {
		judged: "ports restartPolicy",
		harmless: "name image command args workingDir envFrom env resources resizePolicy restartPolicyRules volumeMounts volumeDevices " +
			"livenessProbe readinessProbe startupProbe lifecycle terminationMessagePath terminationMessagePolicy imagePullPolicy " +
			"securityContext stdin stdinOnce tty",
	},
	reflect.TypeFor[corev1.ContainerPort](): {
		judged:   "name containerPort protocol",
		harmless: "hostIP", // of hostPort
		refused:  map[string]refusal{"hostPort": {ofItsNode, leaveOut}},
	},
	reflect.TypeFor[corev1.PodStatus](): {
		judged: "phase conditions podIP podIPs",
		harmless: "observedGeneration message reason nominatedNodeName hostIP hostIPs startTime initContainerStatuses containerStatuses " +
			"qosClass ephemeralContainerStatuses resize resourceClaimStatuses extendedResourceClaimStatus allocatedResources resources " +
			"nodeAllocatableResourceClaimStatuses",
	},
	reflect.TypeFor[corev1.PodCondition](): {
		judged: "type status", harmless: "observedGeneration lastProbeTime lastTransitionTime reason message",
	},
	reflect.TypeFor[corev1.PodIP](): {judged: "ip"},

	reflect.TypeFor[corev1.Node]():     {judged: "apiVersion kind metadata spec status"},
	reflect.TypeFor[corev1.NodeSpec](): {judged: "podCIDR podCIDRs", harmless: "providerID unschedulable taints configSource externalID"},
	reflect.TypeFor[corev1.NodeStatus](): {
		judged: "addresses",
		harmless: "capacity allocatable phase conditions daemonEndpoints nodeInfo images volumesInUse volumesAttached config " +
			"runtimeHandlers features declaredFeatures",
	},
	reflect.TypeFor[corev1.NodeAddress](): {judged: "type address"},

	reflect.TypeFor[discoveryv1.EndpointSlice](): {judged: "apiVersion kind metadata addressType endpoints ports"},
	reflect.TypeFor[discoveryv1.Endpoint](): {
		judged:   "addresses conditions nodeName hints",
		harmless: "hostname targetRef deprecatedTopology zone",
	},
	reflect.TypeFor[discoveryv1.EndpointHints]():      {judged: "forZones forNodes"},
	reflect.TypeFor[discoveryv1.ForZone]():            {judged: "name"},
	reflect.TypeFor[discoveryv1.ForNode]():            {judged: "name"},
	reflect.TypeFor[discoveryv1.EndpointConditions](): {judged: "ready serving terminating"},
	reflect.TypeFor[discoveryv1.EndpointPort]():       {judged: "name protocol port", harmless: "appProtocol"},

	reflect.TypeFor[metav1.ObjectMeta](): {
		// Of two Services that claim the same the older has it; a pod that is being deleted terminates.
		judged: "name namespace labels annotations creationTimestamp deletionTimestamp",
		harmless: "generateName selfLink uid resourceVersion generation deletionGracePeriodSeconds ownerReferences finalizers " +
			"managedFields",
	},
}

// refusedKeys are labels and annotations that do what a field does.
var refusedKeys = []struct {
	kind, field, key string
	refusal
}{
	{"service", "annotations", corev1.AnnotationTopologyMode, byCPU},
	{"service", "annotations", corev1.DeprecatedAnnotationTopologyAwareHints, byCPU},
}

// byCPU: of several equal zones the controller takes the first that Go's map has (k8s.io/endpointslice/topologycache:
// getMost, redistributeHints), so that what comes out is not said.
var byCPU = refusal{isDisabled, "its hints go by the nodes' CPUs and by chance; use trafficDistribution, or write EndpointSlices with hints"}

func isDisabled(v, _, _ *value) bool { return strings.EqualFold(v.text, "disabled") }

// checkJudged refuses what would be carried out wrongly, or not at all, if it were let pass in silence.
func (p *parser) checkJudged(l *located) {
	p.bears(l.v, reflect.TypeOf(l.Object.Object).Elem(), "", l.v)
	for _, k := range refusedKeys {
		keys := l.v.get("metadata").get(k.field)
		if v := keys.get(k.key); k.kind == l.Ref.Kind && v != nil && (k.unless == nil || !k.unless(v, keys, l.v)) {
			i := slices.IndexFunc(keys.fields, func(f field) bool { return f.key == k.key })
			p.problem(keys.fields[i].Pos, "the %s %s is not judged yet: %s", strings.TrimSuffix(k.field, "s"), k.key, k.remedy)
		}
	}
}

func (p *parser) bears(v *value, t reflect.Type, path string, root *value) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice {
		for i, it := range v.items {
			p.bears(it, t.Elem(), fmt.Sprintf("%s[%d]", path, i), root)
		}
		return
	}
	b, ok := bearing[t]
	if !ok {
		return // a word, a number, a map of words
	}
	known := fieldsOf(t)
	for _, f := range v.fields {
		at := join(path, f.key)
		if r, ok := b.refused[f.key]; ok && !f.val.empty() && (r.unless == nil || !r.unless(f.val, v, root)) {
			p.problem(f.val.Pos, "%s is not judged yet: %s", strings.TrimSpace(at+" "+f.val.word()), r.remedy)
		} else if !ok && known[f.key] != nil {
			p.bears(f.val, known[f.key], at, root)
		}
	}
}

// empty is what the API takes for not written.
func (v *value) empty() bool {
	switch v.kind {
	case stringValue:
		return v.text == ""
	case boolValue:
		return v.text == "false"
	case intValue, floatValue:
		return v.text == "0"
	}
	return len(v.items)+len(v.fields) == 0
}

// word is the text of a string, as far as a message should repeat it.
func (v *value) word() string { return shorten(v.str()) }
