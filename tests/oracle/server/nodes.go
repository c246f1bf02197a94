package main

import (
	"fmt"
	"net"
	gosync "sync"

	datapath "github.com/cilium/cilium/pkg/datapath/types"
	"github.com/cilium/cilium/pkg/node/addressing"
	nodeTypes "github.com/cilium/cilium/pkg/node/types"
)

// peerCommand tells of a node: Do is "add", "update" or "delete".
type peerCommand struct {
	Do, Name, Cluster, IP string
}

// nodes stands for the node manager: who subscribes is told of all nodes there are, and of each change.
type nodes struct {
	mu       gosync.Mutex
	known    []nodeTypes.Node
	handlers map[datapath.NodeHandler]bool
}

func (n *nodes) Subscribe(h datapath.NodeHandler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.handlers == nil {
		n.handlers = map[datapath.NodeHandler]bool{}
	}
	n.handlers[h] = true
	for _, node := range n.known {
		h.NodeAdd(node)
	}
}

func (n *nodes) Unsubscribe(h datapath.NodeHandler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.handlers, h)
}

func (n *nodes) change(c *peerCommand) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	node := nodeTypes.Node{Name: c.Name, Cluster: c.Cluster}
	if ip := net.ParseIP(c.IP); ip != nil {
		node.IPAddresses = []nodeTypes.Address{{Type: addressing.NodeInternalIP, IP: ip}}
	}
	at := -1
	for i := range n.known {
		if n.known[i].Name == c.Name && n.known[i].Cluster == c.Cluster {
			at = i
		}
	}
	if (c.Do == "add") != (at < 0) {
		return fmt.Errorf("%s of %s: what there is does not allow it", c.Do, c.Name)
	}
	var before nodeTypes.Node
	switch c.Do {
	case "add":
		n.known = append(n.known, node)
	case "update":
		before, n.known[at] = n.known[at], node
	case "delete":
		node = n.known[at]
		n.known = append(n.known[:at], n.known[at+1:]...)
	default:
		return fmt.Errorf("%q is none of add, update, delete", c.Do)
	}
	for h := range n.handlers {
		switch c.Do {
		case "add":
			h.NodeAdd(node)
		case "update":
			h.NodeUpdate(before, node)
		case "delete":
			h.NodeDelete(node)
		}
	}
	return nil
}
