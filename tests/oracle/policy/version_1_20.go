//go:build cilium_1_20

package main

import (
	"github.com/cilium/hive/cell"
	"github.com/cilium/statedb"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/cilium/cilium/pkg/k8s/resource"
	"github.com/cilium/cilium/pkg/loadbalancer"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/source"
)

func insertBackend(txn statedb.WriteTxn, table statedb.RWTable[*loadbalancer.Backend], addr loadbalancer.L3n4Addr,
	service loadbalancer.ServiceName) error {
	_, _, err := table.Insert(txn, &loadbalancer.Backend{ServiceName: service, Address: addr, Source: source.Kubernetes})
	return err
}

func unusedResources() []cell.Cell {
	return []cell.Cell{cell.Provide(func() resource.Resource[*policyv1alpha2.ClusterNetworkPolicy] {
		return newWatch[*policyv1alpha2.ClusterNetworkPolicy]()
	})}
}

type versioned struct{}

func (versioned) PreviousMapState() *policy.MapState { return nil }

func allowLocalhost(to *option.DaemonConfig, how string) {
	to.UnsafeDaemonConfigOption.AllowLocalhost = how
}

func priorityOf(e policy.MapStateEntry) policy.ListenerPriority {
	return policy.ListenerPriority(255 - e.Precedence&255) // types.Precedence, WithListenerPriority
}
