package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/cilium/pkg/crypto/certificatemanager"
	envoypolicy "github.com/cilium/cilium/pkg/envoy/policy"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/identity/identitymanager"
	"github.com/cilium/cilium/pkg/ipcache"
	"github.com/cilium/cilium/pkg/k8s/resource"
	slim_networking_v1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/networking/v1"
	"github.com/cilium/cilium/pkg/k8s/synced"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	policytypes "github.com/cilium/cilium/pkg/policy/types"
	"github.com/cilium/cilium/pkg/source"
	testidentity "github.com/cilium/cilium/pkg/testutils/identity"
	testpolicy "github.com/cilium/cilium/pkg/testutils/policy"

	cmtypes "github.com/cilium/cilium/pkg/clustermesh/types"
)

type rule struct {
	policy *document
	ref    string
	entry  *policytypes.PolicyEntry
	alone  *policy.Repository
}

type set struct {
	agent   *agent
	cache   *ipcache.IPCache
	ids     identity.IdentityMap
	byID    map[identity.NumericIdentity]*identity.Identity
	rules   []*rule
	all     *policy.Repository
	manager identitymanager.IDManager
	known   map[string]*distilled
}

// Of a NetworkPolicy's peer that has only addresses early releases made a selector of pods as well (CVE-2026-56743). The recorded cases have it mended,
// and so has this program.
const blockOnly = " (addresses only)"

func blocksOf(peers policytypes.Selectors) policytypes.Selectors {
	return slices.DeleteFunc(slices.Clone(peers), func(s policytypes.Selector) bool {
		_, block := s.(*policytypes.CIDRSelector)
		return !block
	})
}

// Names of the rules that the agent makes of a policy, in its order.
func refsOf(p *document) []string {
	var all []string
	if k := p.kubernetes; k != nil {
		for i, r := range k.Spec.Ingress {
			for j := range max(1, len(r.From)) {
				all = append(all, fmt.Sprintf("%s#ingress[%d]", p.key(), i))
				if j < len(r.From) && r.From[j].PodSelector == nil && r.From[j].NamespaceSelector == nil {
					all[len(all)-1] += blockOnly
				}
			}
		}
		if len(k.Spec.Ingress) == 0 && (slices.Contains(k.Spec.PolicyTypes, slim_networking_v1.PolicyTypeIngress) ||
			!slices.Contains(k.Spec.PolicyTypes, slim_networking_v1.PolicyTypeEgress)) {
			all = append(all, p.key()+"#ingress")
		}
		for i, r := range k.Spec.Egress {
			for range max(1, len(r.To)) {
				all = append(all, fmt.Sprintf("%s#egress[%d]", p.key(), i))
			}
		}
		if len(k.Spec.Egress) == 0 && slices.Contains(k.Spec.PolicyTypes, slim_networking_v1.PolicyTypeEgress) {
			all = append(all, p.key()+"#egress")
		}
		return all
	}
	add := func(spec string, r *api.Rule) {
		for _, s := range []struct {
			name  string
			count int
		}{{"ingress", len(r.Ingress)}, {"ingressDeny", len(r.IngressDeny)}, {"egress", len(r.Egress)},
			{"egressDeny", len(r.EgressDeny)}} {
			for i := range s.count {
				all = append(all, fmt.Sprintf("%s#%s.%s[%d]", p.key(), spec, s.name, i))
			}
		}
	}
	if p.cilium.Spec != nil {
		add("spec", p.cilium.Spec)
	}
	for i, s := range p.cilium.Specs {
		add(fmt.Sprintf("specs[%d]", i), s)
	}
	return all
}

func (a *agent) newRepository(ids identity.IdentityMap, manager identitymanager.IDManager) *policy.Repository {
	copied := identity.IdentityMap{}
	for id, l := range ids {
		copied[id] = l
	}
	return policy.NewPolicyRepository(logger, copied, secrets{},
		envoypolicy.NewEnvoyL7RulesTranslator(logger, certificatemanager.NewMockSecretManagerSDS()), manager,
		testpolicy.NewPolicyMetricsNoop())
}

// Loads policies that were read; what the agent refuses it leaves out, and the error is told.
func (a *agent) load(policies []*document) *set {
	s := &set{agent: a, ids: identity.IdentityMap{}, byID: map[identity.NumericIdentity]*identity.Identity{},
		known: map[string]*distilled{}}
	identity.AddReservedIdentityWithLabels(identity.ReservedIdentityHost, labels.NewFrom(labels.LabelHost))
	identity.IterateReservedIdentities(func(id identity.NumericIdentity, i *identity.Identity) {
		s.ids[id] = i.LabelArray
	})
	for _, e := range a.ends {
		if e.id != nil {
			s.ids[e.id.ID] = e.id.LabelArray
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready := make(synced.CacheStatus)
	close(ready)
	s.cache = ipcache.NewIPCache(&ipcache.Configuration{
		Context: ctx, Logger: logger, IdentityAllocator: testidentity.NewMockIdentityAllocator(nil),
		IdentityUpdater: &identities{s.ids}, CacheStatus: ready})
	a.watcher.mx.Lock()
	a.watcher.cache = s.cache
	clear(a.watcher.rules)
	a.watcher.mx.Unlock()
	updates := a.world.metadata()
	a.watcher.tellGroups(resource.Upsert, a.world)
	for _, p := range policies {
		if p == nil {
			continue
		}
		if p.cilium != nil && p.cilium.RequiresDerivative() {
			p.err = a.parse(p) // in force is what the operator makes of it
			continue
		}
		if p.err = a.watcher.tell(resource.Upsert, p); p.err != nil {
			continue
		}
		a.watcher.mx.Lock()
		entries := a.watcher.rules[p.resource]
		a.watcher.mx.Unlock()
		refs := refsOf(p)
		if len(refs) != len(entries) {
			panic(fmt.Sprintf("%s: %d rules, %d names", p.key(), len(entries), len(refs)))
		}
		for i, e := range entries {
			own := *e
			if strings.HasSuffix(refs[i], blockOnly) {
				own.L3, refs[i] = blocksOf(e.L3), strings.TrimSuffix(refs[i], blockOnly)
			}
			own.Labels = append(slices.Clone(e.Labels), labels.NewLabel("oracle.rule", strconv.Itoa(len(s.rules)), "oracle"))
			s.rules = append(s.rules, &rule{policy: p, ref: refs[i], entry: &own})
		}
		for _, prefix := range policy.GetCIDRPrefixes(entries) {
			updates = append(updates, ipcache.MU{
				Prefix: cmtypes.NewLocalPrefixCluster(prefix), Source: source.CustomResource, Resource: p.resource,
				Metadata: []ipcache.IPMetadata{labels.GetCIDRLabels(prefix)}, IsCIDR: true})
		}
	}
	asked := map[string]bool{}
	for _, r := range s.rules {
		for _, peer := range r.entry.L3 {
			if f, ok := peer.GetFQDNSelector(); ok && !asked[f.String()] {
				asked[f.String()] = true
				updates = append(updates, a.world.namesOf(f)...)
			}
		}
	}
	revision := s.cache.UpsertMetadataBatch(updates...)
	must(s.cache.WaitForRevision(ctx, revision))
	must(s.cache.Shutdown())
	s.build(policies)
	for _, p := range policies {
		if p != nil && p.err == nil {
			must(a.watcher.tell(resource.Delete, p))
		}
	}
	a.watcher.tellGroups(resource.Delete, a.world)
	return s
}

func (s *set) build(policies []*document) {
	s.manager = identitymanager.NewIDManager(logger)
	s.all = s.agent.newRepository(s.ids, s.manager)
	for _, p := range policies {
		var entries policytypes.PolicyEntries
		for _, r := range s.rules {
			if r.policy == p {
				entries = append(entries, r.entry)
			}
		}
		if len(entries) > 0 {
			s.all.ReplaceByResource(entries, p.resource)
		}
	}
	for _, r := range s.rules {
		alone := *r.entry
		alone.DefaultDeny = true
		r.alone = s.agent.newRepository(s.ids, s.manager)
		r.alone.ReplaceByResource(policytypes.PolicyEntries{&alone}, r.policy.resource)
	}
}

func (s *set) identityOf(e *end) *identity.Identity {
	if e.id != nil {
		return e.id
	}
	id := identity.ReservedIdentityWorld
	if found, ok := s.cache.LookupSecIDByIP(e.ip); ok {
		id = found.ID
	} else if option.Config.IsDualStack() && e.ip.Is4() {
		id = identity.ReservedIdentityWorldIPv4
	} else if option.Config.IsDualStack() {
		id = identity.ReservedIdentityWorldIPv6
	}
	if known := s.byID[id]; known != nil {
		return known
	}
	s.byID[id] = identity.NewIdentity(id, s.ids[id].Labels())
	return s.byID[id]
}

func (s *set) endOf(name string) *end {
	if e := s.agent.ends[name]; e != nil {
		return e
	}
	return &end{name: name, ip: netip.MustParseAddr(name)}
}

// A subject's policy, and that of each rule that may select it.
type distilled struct {
	all     *policy.EndpointPolicy
	parsers map[uint16][]redirect
	selects []bool                   // by rule
	alone   []*policy.EndpointPolicy // by rule that selects the subject; nil: it contradicts itself
	err     error
}

type redirect struct {
	priority policy.ListenerPriority
	parser   string
}

const panics = "the agent panics"

func (s *set) distill(repo *policy.Repository, id *identity.Identity, o *owner) (_ *policy.EndpointPolicy,
	_ map[uint16][]redirect, err error) {
	defer func() {
		if wrong := recover(); wrong != nil {
			err = fmt.Errorf("%s: %v", panics, wrong)
		}
	}()
	selected, _, err := repo.GetSelectorPolicy(id, 0, &statistics{}, 1)
	if err != nil {
		return nil, nil, err
	}
	ports := map[string]uint16{}
	parsers := map[uint16][]redirect{}
	for filter, tuple := range selected.RedirectFilters() {
		port := filter.Port
		if port == 0 && filter.PortName != "" {
			port = o.GetNamedPort(filter.Ingress, filter.PortName, filter.U8Proto)
		}
		proxy := policy.ProxyID(uint16(o.GetID()), filter.Ingress, string(filter.Protocol), port, tuple.Policy.GetListener())
		if ports[proxy] == 0 {
			ports[proxy] = uint16(10000 + len(ports))
		}
		parsers[ports[proxy]] = append(parsers[ports[proxy]],
			redirect{tuple.Policy.GetListenerPriority(), string(tuple.Policy.L7Parser)})
	}
	p := selected.DistillPolicy(logger, o, ports)
	p.Ready()
	p.Detach(logger)
	return p, parsers, nil
}

// Without the rule that the engine adds for the local host.
func (s *set) distillAlone(repo *policy.Repository, id *identity.Identity, o *owner) (*policy.EndpointPolicy,
	map[uint16][]redirect, error) {
	allowLocalhost(option.Config, option.AllowLocalhostPolicy)
	defer allowLocalhost(option.Config, option.AllowLocalhostAlways)
	return s.distill(repo, id, o)
}

func (s *set) policyOf(e *end) *distilled {
	if d := s.known[e.name]; d != nil {
		return d
	}
	id := s.identityOf(e)
	if e.subject != nil {
		id = identity.NewIdentity(id.ID, e.subject)
	}
	s.manager.Add(id)
	o := &owner{subject: e, cluster: s.agent.ports}
	d := &distilled{selects: make([]bool, len(s.rules)), alone: make([]*policy.EndpointPolicy, len(s.rules))}
	d.all, d.parsers, d.err = s.distill(s.all, id, o)
	for i, r := range s.rules {
		if r.entry.Node != e.host || !r.entry.Subject.Matches(id.LabelArray) {
			continue
		}
		d.selects[i] = true
		alone, _, err := s.distillAlone(r.alone, id, o)
		if err == nil {
			d.alone[i] = alone
		}
	}
	s.manager.Remove(id)
	s.known[e.name] = d
	return d
}
