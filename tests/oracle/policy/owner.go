package main

import (
	"context"

	"github.com/cilium/cilium/pkg/endpoint/regeneration"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/spanstat"
	"github.com/cilium/cilium/pkg/u8proto"
)

type statistics struct{ waiting, calculation spanstat.SpanStat }

func (s *statistics) WaitingForPolicyRepository() *spanstat.SpanStat { return &s.waiting }
func (s *statistics) SelectorPolicyCalculation() *spanstat.SpanStat  { return &s.calculation }

// By default the proxy gets names of secrets only.
type secrets struct{}

func (secrets) GetTLSContext(context.Context, *api.TLSContext, string) (string, string, string, bool, error) {
	return "", "", "", false, nil
}

// The owner of a policy: the subject.
type owner struct {
	versioned
	subject *end
	cluster namedPorts
}

type namedPorts interface {
	GetNamedPort(name string, proto u8proto.U8proto) (uint16, error)
}

func (o *owner) GetID() uint64              { return 1 }
func (o *owner) PolicyDebug(string, ...any) {}
func (o *owner) IsHost() bool               { return o.subject.host }
func (o *owner) RegenerateIfAlive(*regeneration.ExternalRegenerationMetadata) <-chan bool {
	done := make(chan bool)
	close(done)
	return done
}
func (o *owner) GetNamedPort(ingress bool, name string, proto u8proto.U8proto) uint16 {
	var port uint16
	if ingress {
		port, _ = o.subject.ports.GetNamedPort(name, proto)
	} else {
		port, _ = o.cluster.GetNamedPort(name, proto)
	}
	return port
}

// Collects identities as they are made up for addresses.
type identities struct{ all identity.IdentityMap }

func (i *identities) UpdateIdentities(added, deleted identity.IdentityMap) <-chan struct{} {
	for id := range deleted {
		delete(i.all, id)
	}
	for id, l := range added {
		i.all[id] = l
	}
	done := make(chan struct{})
	close(done)
	return done
}
