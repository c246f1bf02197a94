package main

import (
	"context"

	"github.com/cilium/cilium/api/v1/models"
	"github.com/cilium/cilium/pkg/crypto/certificatemanager"
	"github.com/cilium/cilium/pkg/endpoint/regeneration"
	envoypolicy "github.com/cilium/cilium/pkg/envoy/policy"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/identity/identitymanager"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	policyutils "github.com/cilium/cilium/pkg/policy/utils"
	"github.com/cilium/cilium/pkg/spanstat"
	testpolicy "github.com/cilium/cilium/pkg/testutils/policy"
	"github.com/cilium/cilium/pkg/u8proto"
)

type statistics struct{ waiting, calculation spanstat.SpanStat }

func (s *statistics) WaitingForPolicyRepository() *spanstat.SpanStat { return &s.waiting }
func (s *statistics) SelectorPolicyCalculation() *spanstat.SpanStat  { return &s.calculation }

type secrets struct{}

func (secrets) GetTLSContext(context.Context, *api.TLSContext, string) (string, string, string, bool, error) {
	return "", "", "", false, nil
}

// owner is the endpoint that a policy is of.
type owner struct{ id uint16 }

func (o owner) GetID() uint64                                   { return uint64(o.id) }
func (owner) GetNamedPort(bool, string, u8proto.U8proto) uint16 { return 0 }
func (owner) PolicyDebug(string, ...any)                        {}
func (owner) IsHost() bool                                      { return false }
func (owner) MapStateSize() int                                 { return 0 }
func (owner) RegenerateIfAlive(*regeneration.ExternalRegenerationMetadata) <-chan bool {
	done := make(chan bool)
	close(done)
	return done
}

func prepare() {
	option.Config.EnableIPv4, option.Config.EnableIPv6 = true, true
	option.Config.EnableICMPRules = true
	option.Config.EnableL7Proxy = true
	option.Config.EnableNonDefaultDenyPolicies = true
	policy.SetPolicyEnabled(option.DefaultEnforcement)
	api.InitEntities("default")
}

// distill makes of a question's rules what the agent makes of them, and what its API tells of that.
func distill(q *question) (*endpoint, answer, error) {
	option.Config.AllowLocalhost = option.AllowLocalhostPolicy
	if q.Localhost {
		option.Config.AllowLocalhost = option.AllowLocalhostAlways
	}
	ids := identity.IdentityMap{}
	identity.IterateReservedIdentities(func(id identity.NumericIdentity, i *identity.Identity) { ids[id] = i.LabelArray })
	for id, list := range q.Identities {
		ids[id] = labels.NewLabelsFromModel(list).LabelArray()
	}
	manager := identitymanager.NewIDManager(logger)
	translator := envoypolicy.NewEnvoyL7RulesTranslator(logger, certificatemanager.NewMockSecretManagerSDS())
	repo := policy.NewPolicyRepository(logger, ids, secrets{}, translator, manager, testpolicy.NewPolicyMetricsNoop())
	for _, r := range q.Rules {
		if err := r.Sanitize(); err != nil {
			return nil, answer{}, err
		}
	}
	repo.ReplaceByResource(policyutils.RulesToPolicyEntries(q.Rules), "oracle")
	e := &endpoint{id: q.Endpoint, identity: identity.NewIdentity(q.Identity, ids[q.Identity].Labels()), revision: q.Revision}
	manager.Add(e.identity)
	selected, _, err := repo.GetSelectorPolicy(e.identity, 0, &statistics{}, 1)
	if err != nil {
		return nil, answer{}, err
	}
	redirects := map[string]uint16{}
	for filter, tuple := range selected.RedirectFilters() {
		proxy := policy.ProxyID(q.Endpoint, filter.Ingress, string(filter.Protocol), filter.Port, tuple.Policy.GetListener())
		if redirects[proxy] == 0 {
			redirects[proxy] = uint16(10000 + len(redirects))
		}
	}
	e.policy = selected.DistillPolicy(logger, owner{q.Endpoint}, redirects)
	e.policy.Ready()
	enabled := models.EndpointPolicyEnabledNone
	switch s := e.policy.SelectorPolicy; {
	case s.IngressPolicyEnabled && s.EgressPolicyEnabled:
		enabled = models.EndpointPolicyEnabledBoth
	case s.IngressPolicyEnabled:
		enabled = models.EndpointPolicyEnabledIngress
	case s.EgressPolicyEnabled:
		enabled = models.EndpointPolicyEnabledEgress
	}
	realized := map[string]any{"policy-revision": q.Revision, "policy-enabled": enabled, "l4": e.policy.SelectorPolicy.L4Policy.GetModel()}
	told := answer{Endpoints: []any{map[string]any{"id": q.Endpoint, "status": map[string]any{"policy": map[string]any{"realized": realized}}}},
		Selectors: repo.GetSelectorCache().GetModel()}
	e.policy.Detach(logger)
	return e, told, nil
}
