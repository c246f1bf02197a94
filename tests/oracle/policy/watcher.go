package main

import (
	"context"
	"encoding/json"
	"net/netip"
	"sync"

	"github.com/cilium/hive"
	"github.com/cilium/hive/cell"
	"github.com/cilium/statedb"

	cmtypes "github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/ipcache"
	ipcachetypes "github.com/cilium/cilium/pkg/ipcache/types"
	cilium_v2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/k8s/client"
	"github.com/cilium/cilium/pkg/k8s/resource"
	slim_corev1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/core/v1"
	slim_networking_v1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/networking/v1"
	"github.com/cilium/cilium/pkg/k8s/synced"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/loadbalancer"
	"github.com/cilium/cilium/pkg/option"
	policycell "github.com/cilium/cilium/pkg/policy/cell"
	policyk8s "github.com/cilium/cilium/pkg/policy/k8s"
	policytypes "github.com/cilium/cilium/pkg/policy/types"

	k8sRuntime "k8s.io/apimachinery/pkg/runtime"
)

// An API server's watch: what is put into the channel.
type watch[T k8sRuntime.Object] struct {
	resource.Resource[T]
	events chan resource.Event[T]
}

func newWatch[T k8sRuntime.Object]() *watch[T] {
	return &watch[T]{events: make(chan resource.Event[T])}
}

func (w *watch[T]) Events(context.Context, ...resource.EventsOpt) <-chan resource.Event[T] {
	return w.events
}

// Hands one event over and waits until it is dealt with.
func (w *watch[T]) tell(kind resource.EventKind, namespace, name string, object T) error {
	done := make(chan error, 1)
	w.events <- resource.Event[T]{
		Kind:   kind,
		Key:    resource.Key{Namespace: namespace, Name: name},
		Object: object,
		Done:   func(err error) { done <- err },
	}
	return <-done
}

type enabledClient struct{ client.Clientset }

func (enabledClient) IsEnabled() bool { return true }

// The agent's watcher of policies of one world; it gives its rules to this importer.
type watcher struct {
	hive *hive.Hive

	cnp    *watch[*cilium_v2.CiliumNetworkPolicy]
	ccnp   *watch[*cilium_v2.CiliumClusterwideNetworkPolicy]
	groups *watch[*cilium_v2.CiliumCIDRGroup]
	knp    *watch[*slim_networking_v1.NetworkPolicy]

	mx    sync.Mutex
	cache *ipcache.IPCache                                      // guarded by mx
	rules map[ipcachetypes.ResourceID]policytypes.PolicyEntries // guarded by mx
}

func (w *watcher) UpdatePolicy(u *policytypes.PolicyUpdate) {
	w.mx.Lock()
	defer w.mx.Unlock()
	w.rules[u.Resource] = u.Rules
}

func (w *watcher) UpsertMetadataBatch(updates ...ipcache.MU) uint64 {
	w.mx.Lock()
	defer w.mx.Unlock()
	return w.cache.UpsertMetadataBatch(updates...)
}

func (w *watcher) RemoveMetadataBatch(updates ...ipcache.MU) uint64 {
	w.mx.Lock()
	defer w.mx.Unlock()
	return w.cache.RemoveMetadataBatch(updates...)
}

func (w *watcher) WaitForRevision(ctx context.Context, revision uint64) error {
	return w.cache.WaitForRevision(ctx, revision)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func startWatcher(in *world) *watcher {
	w := &watcher{
		cnp:    newWatch[*cilium_v2.CiliumNetworkPolicy](),
		ccnp:   newWatch[*cilium_v2.CiliumClusterwideNetworkPolicy](),
		groups: newWatch[*cilium_v2.CiliumCIDRGroup](),
		knp:    newWatch[*slim_networking_v1.NetworkPolicy](),
		rules:  map[ipcachetypes.ResourceID]policytypes.PolicyEntries{},
	}
	db := statedb.New()
	services, err := loadbalancer.NewServicesTable(loadbalancer.Config{}, db)
	must(err)
	backends, err := loadbalancer.NewBackendsTable(db)
	must(err)
	txn := db.WriteTxn(services, backends)
	for _, s := range in.Services {
		name := loadbalancer.NewServiceName(s.Namespace, s.Name)
		_, _, err := services.Insert(txn, &loadbalancer.Service{
			Name: name, Labels: labels.Map2Labels(s.Labels, labels.LabelSourceK8s), Selector: s.Selector})
		must(err)
		for _, ip := range s.Backends {
			addr := loadbalancer.NewL3n4Addr(loadbalancer.TCP,
				cmtypes.AddrClusterFrom(netip.MustParseAddr(ip), 0), 80, loadbalancer.ScopeExternal)
			must(insertBackend(txn, backends, addr, name))
		}
	}
	txn.Commit()
	w.hive = hive.New(append(unusedResources(), synced.Cell, policyk8s.Cell, cell.Provide(
		func() client.Clientset { return enabledClient{} },
		func() *option.DaemonConfig { return option.Config },
		func() cmtypes.PolicyConfig { return cmtypes.DefaultPolicyConfig },
		func() *statedb.DB { return db },
		func() statedb.Table[*loadbalancer.Service] { return services },
		func() statedb.Table[*loadbalancer.Backend] { return backends },
		func() policycell.IPCacher { return w },
		func() policycell.PolicyImporter { return w },
		func() resource.Resource[*cilium_v2.CiliumNetworkPolicy] { return w.cnp },
		func() resource.Resource[*cilium_v2.CiliumClusterwideNetworkPolicy] { return w.ccnp },
		func() resource.Resource[*cilium_v2.CiliumCIDRGroup] { return w.groups },
		func() resource.Resource[*slim_networking_v1.NetworkPolicy] { return w.knp },
		policyk8s.NewCNPMetricsNoop,
	))...)
	must(w.hive.Start(logger, context.Background()))
	return w
}

func (w *watcher) stop() {
	must(w.hive.Stop(logger, context.Background()))
}

// One policy as it was read.
type document struct {
	kind, namespace, name string
	resource              ipcachetypes.ResourceID
	cilium                *cilium_v2.CiliumNetworkPolicy
	kubernetes            *slim_networking_v1.NetworkPolicy
	err                   error // of the agent
}

func (p *document) key() string {
	if p.namespace == "" {
		return p.kind + ":" + p.name
	}
	return p.kind + ":" + p.namespace + "/" + p.name
}

func (p *document) asClusterwide() *cilium_v2.CiliumClusterwideNetworkPolicy {
	return &cilium_v2.CiliumClusterwideNetworkPolicy{
		TypeMeta: p.cilium.TypeMeta, ObjectMeta: p.cilium.ObjectMeta, Spec: p.cilium.Spec, Specs: p.cilium.Specs}
}

func (w *watcher) tell(kind resource.EventKind, p *document) error {
	switch p.kind {
	case "cnp":
		return w.cnp.tell(kind, p.namespace, p.name, p.cilium)
	case "ccnp":
		return w.ccnp.tell(kind, "", p.name, p.asClusterwide())
	default:
		return w.knp.tell(kind, p.namespace, p.name, p.kubernetes)
	}
}

func (w *watcher) tellGroups(kind resource.EventKind, in *world) {
	for _, g := range in.CIDRGroups {
		group := &cilium_v2.CiliumCIDRGroup{}
		group.Name, group.Labels = g.Name, g.Labels
		for _, c := range g.ExternalCIDRs {
			text, _ := json.Marshal(c)
			group.Spec.ExternalCIDRs = append(group.Spec.ExternalCIDRs, "")
			must(json.Unmarshal(text, &group.Spec.ExternalCIDRs[len(group.Spec.ExternalCIDRs)-1]))
		}
		must(w.groups.tell(kind, "", g.Name, group))
	}
}

// Defaults that the API server fills in.
func fillIn(np *slim_networking_v1.NetworkPolicy) {
	tcp := slim_corev1.ProtocolTCP
	for i := range np.Spec.Ingress {
		for j := range np.Spec.Ingress[i].Ports {
			if np.Spec.Ingress[i].Ports[j].Protocol == nil {
				np.Spec.Ingress[i].Ports[j].Protocol = &tcp
			}
		}
	}
	for i := range np.Spec.Egress {
		for j := range np.Spec.Egress[i].Ports {
			if np.Spec.Egress[i].Ports[j].Protocol == nil {
				np.Spec.Egress[i].Ports[j].Protocol = &tcp
			}
		}
	}
	if len(np.Spec.PolicyTypes) == 0 {
		np.Spec.PolicyTypes = []slim_networking_v1.PolicyType{slim_networking_v1.PolicyTypeIngress}
		if len(np.Spec.Egress) > 0 {
			np.Spec.PolicyTypes = append(np.Spec.PolicyTypes, slim_networking_v1.PolicyTypeEgress)
		}
	}
}
