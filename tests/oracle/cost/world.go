package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	cgroups "github.com/cilium/cilium/pkg/cgroups/manager"
	"github.com/cilium/cilium/pkg/hubble/parser/getters"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/ipcache"
	slim "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/core/v1"
	"github.com/cilium/cilium/pkg/labels"
	policy "github.com/cilium/cilium/pkg/policy/types"
)

// As bench_cilium has them.
const (
	endpointCount = 5000
	identityCount = 500
	firstIdentity = 30000
)

// endpoint is a pod of this node.
type endpoint struct {
	id       uint64
	identity identity.NumericIdentity
	pod      string
	labels   labels.Labels
}

func (e *endpoint) GetID() uint64                         { return e.id }
func (e *endpoint) GetIdentity() identity.NumericIdentity { return e.identity }
func (e *endpoint) GetK8sPodName() string                 { return e.pod }
func (e *endpoint) GetK8sNamespace() string               { return "shop" }
func (e *endpoint) GetLabels() labels.Labels              { return e.labels }
func (e *endpoint) GetPod() *slim.Pod                     { return nil }
func (e *endpoint) GetPolicyCorrelationInfoForKey(policy.Key) (policy.PolicyCorrelationInfo, bool) {
	return policy.PolicyCorrelationInfo{}, false
}

// world is the cluster of bench_cilium: 5,000 pods, a hundred of them of this node, and one service.
type world struct {
	endpoints  map[netip.Addr]*endpoint
	byID       map[uint16]*endpoint
	metadata   map[netip.Addr]*ipcache.K8sMetadata
	identities map[netip.Addr]ipcache.Identity
	byNumber   map[uint32]*identity.Identity
	service    *flowpb.Service
}

func newWorld() *world {
	w := &world{
		endpoints:  map[netip.Addr]*endpoint{},
		byID:       map[uint16]*endpoint{},
		metadata:   map[netip.Addr]*ipcache.K8sMetadata{},
		identities: map[netip.Addr]ipcache.Identity{},
		byNumber:   map[uint32]*identity.Identity{},
		service:    &flowpb.Service{Name: "cart", Namespace: "shop"},
	}
	all := labels.NewLabelsFromSortedList("k8s:app=cart;k8s:env=prod;k8s:io.kubernetes.pod.namespace=shop")
	for i := uint32(0); i < identityCount; i++ {
		w.byNumber[firstIdentity+i] = identity.NewIdentity(identity.NumericIdentity(firstIdentity+i), all)
	}
	for i := uint32(0); i < endpointCount; i++ {
		number := identity.NumericIdentity(firstIdentity + i%identityCount)
		pod := fmt.Sprintf("cart-7f9c5d8b6-%d", i)
		e := &endpoint{id: uint64(i + 1), identity: number, pod: pod, labels: all}
		for _, six := range []bool{false, true} {
			at := address(i, six)
			w.metadata[at] = &ipcache.K8sMetadata{Namespace: "shop", PodName: pod}
			w.identities[at] = ipcache.Identity{ID: number}
			if i%50 == 0 {
				w.endpoints[at] = e
				w.byID[uint16(i+1)] = e
			}
		}
	}
	return w
}

func (w *world) GetEndpointInfo(ip netip.Addr) (getters.EndpointInfo, bool) {
	e, ok := w.endpoints[ip]
	if !ok {
		return nil, false
	}
	return e, true
}

func (w *world) GetEndpointInfoByID(id uint16) (getters.EndpointInfo, bool) {
	e, ok := w.byID[id]
	if !ok {
		return nil, false
	}
	return e, true
}

func (w *world) GetIdentity(id uint32) (*identity.Identity, error) {
	if known, ok := w.byNumber[id]; ok {
		return known, nil
	}
	return nil, errors.New("identity not known")
}

func (w *world) GetK8sMetadata(ip netip.Addr) *ipcache.K8sMetadata { return w.metadata[ip] }

func (w *world) LookupSecIDByIP(ip netip.Addr) (ipcache.Identity, bool) {
	known, ok := w.identities[ip]
	return known, ok
}

// bench_cilium's service has no address that its events go to.
func (w *world) GetServiceByAddr(netip.Addr, uint16) *flowpb.Service { return nil }

func (w *world) GetNamesOf(uint32, netip.Addr) []string { return nil }

func (w *world) GetIfNameCached(index int) (string, bool) { return "lxc1a2b3c4d5e6f", index == 12 }

func (w *world) Name(index uint32) string {
	if name, ok := w.GetIfNameCached(int(index)); ok {
		return name
	}
	return strconv.Itoa(int(index))
}

func (w *world) GetPodMetadataForContainer(uint64) *cgroups.PodMetadata { return nil }
