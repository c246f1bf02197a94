package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	cgroups "github.com/cilium/cilium/pkg/cgroups/manager"
	"github.com/cilium/cilium/pkg/hubble/parser/getters"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/ipcache"
	corev1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/core/v1"
	metav1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/trafficdirection"
	policyTypes "github.com/cilium/cilium/pkg/policy/types"
	"github.com/cilium/cilium/pkg/u8proto"
)

// world is what the parser asks: golden/events/README.md says what stands where.
type world struct {
	Endpoints []*endpoint
	IPCache   []struct {
		Prefix   netip.Prefix
		Identity uint32
	}
	Metadata []struct {
		IP        netip.Addr
		Namespace string
		PodName   string `json:"pod_name"`
	} `json:"k8s_metadata"`
	Identities []struct {
		ID     uint32
		Labels []string
	}
	Services []struct {
		IP                        netip.Addr
		Port                      uint16
		Protocol, Namespace, Name string
	}
	Links []struct {
		Index int
		Name  string
	}
	Cgroups []struct {
		ID        uint64
		IPs       []string
		Namespace string
		PodName   string `json:"pod_name"`
	}
}

func readWorld(path string) (*world, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	w := &world{}
	if err := json.Unmarshal(text, w); err != nil {
		return nil, err
	}
	for i := range w.IPCache {
		w.IPCache[i].Prefix = w.IPCache[i].Prefix.Masked()
	}
	return w, nil
}

func (w *world) GetEndpointInfo(ip netip.Addr) (getters.EndpointInfo, bool) {
	for _, ep := range w.Endpoints {
		if slices.Contains(ep.IPs, ip) {
			return ep, true
		}
	}
	return nil, false
}

func (w *world) byID(id uint16) *endpoint {
	for _, ep := range w.Endpoints {
		if ep.ID == uint64(id) {
			return ep
		}
	}
	return nil
}

func (w *world) GetEndpointInfoByID(id uint16) (getters.EndpointInfo, bool) {
	if ep := w.byID(id); ep != nil {
		return ep, true
	}
	return nil, false
}

func (w *world) GetIdentity(id uint32) (*identity.Identity, error) {
	for _, in := range w.Identities {
		if in.ID == id {
			return identity.NewIdentity(identity.NumericIdentity(id), labels.NewLabelsFromModel(in.Labels)), nil
		}
	}
	return nil, fmt.Errorf("no identity %d", id)
}

func (w *world) GetNamesOf(id uint32, ip netip.Addr) []string {
	ep := w.byID(uint16(id))
	if ep == nil || !ip.IsValid() {
		return nil
	}
	return slices.Clone(ep.DNS[ip])
}

func (w *world) GetK8sMetadata(ip netip.Addr) *ipcache.K8sMetadata {
	for _, m := range w.Metadata {
		if m.IP == ip {
			return &ipcache.K8sMetadata{Namespace: m.Namespace, PodName: m.PodName}
		}
	}
	return nil
}

func (w *world) LookupSecIDByIP(ip netip.Addr) (ipcache.Identity, bool) {
	best := -1
	var found ipcache.Identity
	for _, in := range w.IPCache {
		if in.Prefix.Contains(ip) && in.Prefix.Bits() > best {
			best = in.Prefix.Bits()
			found = ipcache.Identity{ID: identity.NumericIdentity(in.Identity)}
		}
	}
	return found, best >= 0
}

func (w *world) GetServiceByAddr(ip netip.Addr, port uint16) *flowpb.Service {
	for _, protocol := range []string{"TCP", "UDP"} {
		for _, s := range w.Services {
			if s.IP == ip && s.Port == port && s.Protocol == protocol {
				return &flowpb.Service{Namespace: s.Namespace, Name: s.Name}
			}
		}
	}
	return nil
}

func (w *world) GetIfNameCached(index int) (string, bool) {
	for _, l := range w.Links {
		if l.Index == index {
			return l.Name, true
		}
	}
	return "", false
}

func (w *world) Name(index uint32) string {
	name, ok := w.GetIfNameCached(int(index))
	if !ok {
		return fmt.Sprint(index)
	}
	return name
}

func (w *world) GetPodMetadataForContainer(id uint64) *cgroups.PodMetadata {
	for _, c := range w.Cgroups {
		if c.ID == id {
			return &cgroups.PodMetadata{Name: c.PodName, Namespace: c.Namespace, IPs: c.IPs}
		}
	}
	return nil
}

// endpoint is one of this node.
type endpoint struct {
	ID        uint64
	Identity  uint32
	IPs       []netip.Addr
	Namespace string
	PodName   string `json:"pod_name"`
	Labels    []string
	Pod       *struct {
		GenerateName string `json:"generate_name"`
		Labels       map[string]string
		Controller   *struct{ Kind, Name string }
	}
	DNS      map[netip.Addr][]string
	Revision uint64 `json:"policy_revision"`
	Policies []struct {
		Direction  string
		Identity   uint32
		Protocol   uint8
		Port       uint16
		RuleLabels [][]string `json:"rule_labels"`
		Log        []string
	}
}

func (e *endpoint) GetID() uint64 { return e.ID }
func (e *endpoint) GetIdentity() identity.NumericIdentity {
	return identity.NumericIdentity(e.Identity)
}
func (e *endpoint) GetK8sPodName() string    { return e.PodName }
func (e *endpoint) GetK8sNamespace() string  { return e.Namespace }
func (e *endpoint) GetLabels() labels.Labels { return labels.NewLabelsFromModel(e.Labels) }

func (e *endpoint) GetPod() *corev1.Pod {
	if e.Pod == nil {
		return nil
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: e.PodName, Namespace: e.Namespace,
		GenerateName: e.Pod.GenerateName, Labels: e.Pod.Labels}}
	if c := e.Pod.Controller; c != nil {
		yes := true
		pod.OwnerReferences = []metav1.OwnerReference{{Kind: c.Kind, Name: c.Name, Controller: &yes}}
	}
	return pod
}

func (e *endpoint) GetPolicyCorrelationInfoForKey(key policyTypes.Key) (policyTypes.PolicyCorrelationInfo, bool) {
	for _, p := range e.Policies {
		direction := trafficdirection.Ingress
		if p.Direction == "egress" {
			direction = trafficdirection.Egress
		}
		this := policy.KeyForDirection(direction).WithIdentity(identity.NumericIdentity(p.Identity)).
			WithPortProto(u8proto.U8proto(p.Protocol), p.Port)
		if this != key {
			continue
		}
		var list labels.LabelArrayList
		for _, rule := range p.RuleLabels {
			list = append(list, labels.ParseLabelArrayFromArray(rule))
		}
		return policyTypes.PolicyCorrelationInfo{RuleLabels: list.ArrayListString(), Log: p.Log, Revision: e.Revision}, true
	}
	return policyTypes.PolicyCorrelationInfo{}, false
}
