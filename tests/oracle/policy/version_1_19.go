//go:build cilium_1_19

package main

import (
	"github.com/cilium/hive/cell"
	"github.com/cilium/statedb"

	"github.com/cilium/cilium/pkg/loadbalancer"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
)

func insertBackend(txn statedb.WriteTxn, table statedb.RWTable[*loadbalancer.Backend], addr loadbalancer.L3n4Addr,
	service loadbalancer.ServiceName) error {
	be := &loadbalancer.Backend{Address: addr}
	be.Instances = be.Instances.Set(loadbalancer.BackendInstanceKey{ServiceName: service},
		loadbalancer.BackendParams{Address: addr})
	if old, _, found := table.Get(txn, loadbalancer.BackendByAddress(addr)); found {
		be.Instances = old.Instances.Set(loadbalancer.BackendInstanceKey{ServiceName: service},
			loadbalancer.BackendParams{Address: addr})
	}
	_, _, err := table.Insert(txn, be)
	return err
}

func unusedResources() []cell.Cell { return nil }

type versioned struct{}

func (versioned) MapStateSize() int { return 0 }

func allowLocalhost(to *option.DaemonConfig, how string) { to.AllowLocalhost = how }

func priorityOf(e policy.MapStateEntry) policy.ListenerPriority {
	_, priority := e.Priority()
	return priority
}
