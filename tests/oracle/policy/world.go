package main

import (
	"net/netip"
	"strings"

	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/ipcache"
	ipcachetypes "github.com/cilium/cilium/pkg/ipcache/types"
	"github.com/cilium/cilium/pkg/k8s"
	slim_corev1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/core/v1"
	slim_metav1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/labelsfilter"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/source"
	"github.com/cilium/cilium/pkg/types"

	cmtypes "github.com/cilium/cilium/pkg/clustermesh/types"
)

type named struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Labels    map[string]string `json:"labels"`
}

type node struct {
	named
	Local         bool     `json:"local"`
	KubeApiserver bool     `json:"kubeApiserver"`
	IPs           []string `json:"ips"`
}

type pod struct {
	named
	ServiceAccount string   `json:"serviceAccount"`
	Cluster        string   `json:"cluster"`
	IPs            []string `json:"ips"`
	Ports          []struct {
		Name     string `json:"name"`
		Port     int    `json:"port"`
		Protocol string `json:"protocol"`
	} `json:"ports"`
}

type world struct {
	Cluster      string  `json:"cluster"`
	DualStack    bool    `json:"dualStack"`
	HostFirewall bool    `json:"hostFirewall"`
	Namespaces   []named `json:"namespaces"`
	Nodes        []node  `json:"nodes"`
	Pods         []pod   `json:"pods"`
	Specials     []struct {
		Name   string `json:"name"`
		Entity string `json:"entity"`
		IP     string `json:"ip"`
	} `json:"specials"`
	Services []struct {
		named
		Selector map[string]string `json:"selector"`
		Backends []string          `json:"backends"`
	} `json:"services"`
	CIDRGroups []struct {
		named
		ExternalCIDRs []string `json:"externalCIDRs"`
	} `json:"cidrGroups"`
	FQDNs []struct {
		Name string   `json:"name"`
		IPs  []string `json:"ips"`
	} `json:"fqdns"`
	External []struct {
		IP            string `json:"ip"`
		KubeApiserver bool   `json:"kubeApiserver"`
	} `json:"external"`
}

// An end of a connection.
type end struct {
	name     string
	id       *identity.Identity // nil: by address
	ip       netip.Addr
	ports    types.NamedPortMap
	enforced bool
	host     bool
	// The labels that it is selected by as the subject of policies, where they are others than those as a peer.
	subject labels.Labels
}

func (w *world) podEnd(p *pod, id identity.NumericIdentity) *end {
	meta := slim_metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace, Labels: p.Labels}
	ns := &slim_corev1.Namespace{ObjectMeta: slim_metav1.ObjectMeta{Name: p.Namespace}}
	for _, n := range w.Namespaces {
		if n.Name == p.Namespace {
			ns.Labels = n.Labels
		}
	}
	local := w.Cluster
	if p.Cluster != "" {
		option.Config.ClusterName = p.Cluster
	}
	_, text := k8s.GetPodMetadata(logger, ns, &slim_corev1.Pod{
		ObjectMeta: meta, Spec: slim_corev1.PodSpec{ServiceAccountName: p.ServiceAccount}})
	option.Config.ClusterName = local
	own, _ := labelsfilter.Filter(labels.Map2Labels(text, labels.LabelSourceK8s))
	e := &end{
		name:     p.Namespace + "/" + p.Name,
		id:       identity.NewIdentity(id, own),
		ports:    types.NamedPortMap{},
		enforced: p.Cluster == "" || p.Cluster == w.Cluster,
	}
	for _, port := range p.Ports {
		if err := e.ports.AddPort(port.Name, port.Port, port.Protocol); err != nil {
			logger.Debug(err.Error())
		}
	}
	return e
}

// All ends that the world lists; identities of addresses are looked up when they are asked for.
func (w *world) makeEnds() map[string]*end {
	all := map[string]*end{}
	for i := range w.Pods {
		e := w.podEnd(&w.Pods[i], identity.NumericIdentity(2000+i))
		all[e.name] = e
	}
	for _, n := range w.Nodes {
		e := &end{name: "node:" + n.Name, ip: netip.MustParseAddr(n.IPs[0])}
		if n.Local {
			e.host, e.enforced = true, w.HostFirewall
			e.subject = labels.NewFrom(labels.LabelHost)
			own, _ := labelsfilter.Filter(labels.Map2Labels(n.Labels, labels.LabelSourceK8s))
			e.subject.MergeLabels(own)
		}
		all[e.name] = e
	}
	for _, s := range w.Specials {
		id := identity.GetReservedID(s.Entity)
		all[s.Name] = &end{name: s.Name, id: identity.LookupReservedIdentity(id), enforced: s.Entity != "unmanaged"}
	}
	for _, x := range w.External {
		all[x.IP] = &end{name: x.IP, ip: netip.MustParseAddr(x.IP)}
	}
	return all
}

func prefixOf(ip string) cmtypes.PrefixCluster {
	addr := netip.MustParseAddr(ip)
	return cmtypes.NewLocalPrefixCluster(netip.PrefixFrom(addr, addr.BitLen()))
}

// What the agent's address cache knows before there are policies.
func (w *world) metadata() []ipcache.MU {
	var all []ipcache.MU
	add := func(ip string, what string, from source.Source, l labels.Labels) {
		all = append(all, ipcache.MU{
			Prefix:   prefixOf(ip),
			Source:   from,
			Resource: ipcachetypes.NewResourceID(ipcachetypes.ResourceKindNode, "", what),
			Metadata: []ipcache.IPMetadata{l},
		})
	}
	for _, n := range w.Nodes {
		for _, ip := range n.IPs {
			if n.Local {
				add(ip, n.Name, source.Local, labels.LabelHost)
			} else {
				add(ip, n.Name, source.CustomResource, labels.LabelRemoteNode)
			}
			if n.KubeApiserver {
				add(ip, "apiserver", source.KubeAPIServer, labels.LabelKubeAPIServer)
			}
		}
	}
	for _, x := range w.External {
		if x.KubeApiserver {
			add(x.IP, "apiserver", source.KubeAPIServer, labels.LabelKubeAPIServer)
		}
	}
	return all
}

// Addresses of names that a selector matches, as if they had been looked up.
func (w *world) namesOf(s *api.FQDNSelector) []ipcache.MU {
	var all []ipcache.MU
	regex, err := s.ToRegex()
	if err != nil {
		return nil
	}
	for _, f := range w.FQDNs {
		name := strings.ToLower(strings.TrimSuffix(f.Name, ".")) + "."
		if !regex.MatchString(name) {
			continue
		}
		for _, ip := range f.IPs {
			label := s.IdentityLabel()
			all = append(all, ipcache.MU{
				Prefix:   prefixOf(ip),
				Source:   source.Generated,
				Resource: ipcachetypes.NewResourceID(ipcachetypes.ResourceKindDaemon, "", s.String()),
				Metadata: []ipcache.IPMetadata{labels.Labels{label.Key: label}},
			})
		}
	}
	return all
}
