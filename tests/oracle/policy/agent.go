package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cilium/cilium/pkg/identity"
	ipcachetypes "github.com/cilium/cilium/pkg/ipcache/types"
	cilium_v2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2/validator"
	slim_networking_v1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/networking/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/labelsfilter"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/types"
)

var logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1}))

type agent struct {
	validator *validator.NPValidator
	world     *world
	watcher   *watcher
	ends      map[string]*end
	ports     namedPorts
}

func newAgent() *agent {
	v, err := validator.NewNPValidator(logger)
	must(err)
	option.Config.EnableIPv4 = true
	allowLocalhost(option.Config, option.AllowLocalhostAlways)
	option.Config.EnableK8sNetworkPolicy = true
	option.Config.EnableCiliumNetworkPolicy = true
	option.Config.EnableCiliumClusterwideNetworkPolicy = true
	option.Config.EnableICMPRules = true
	option.Config.EnableL7Proxy = true
	option.Config.EnableNonDefaultDenyPolicies = true
	policy.SetPolicyEnabled(option.DefaultEnforcement)
	must(labelsfilter.ParseLabelPrefixCfg(logger, nil, nil, ""))
	return &agent{validator: v}
}

func (a *agent) enter(w *world) any {
	if a.watcher != nil {
		a.watcher.stop()
	}
	option.Config.ClusterName = w.Cluster
	option.Config.EnableIPv6 = w.DualStack
	option.Config.EnableHostFirewall = w.HostFirewall
	api.InitEntities(w.Cluster)
	identity.AddReservedIdentityWithLabels(identity.ReservedIdentityHost, labels.NewFrom(labels.LabelHost))
	a.world = w
	a.ends = w.makeEnds()
	ports := types.NewNamedPortMultiMap()
	for i := range w.Pods {
		if e := a.ends[w.Pods[i].Namespace+"/"+w.Pods[i].Name]; e.enforced {
			ports.Update(nil, e.ports)
		}
	}
	a.ports = ports
	a.watcher = startWatcher(w)
	s := a.load(nil)
	told := map[string]string{}
	for name, e := range a.ends {
		list := s.identityOf(e).Labels.LabelArray().GetModel()
		slices.Sort(list)
		for i := range list {
			list[i] = strings.TrimSuffix(list[i], "=")
		}
		told[name] = strings.Join(list, ",")
	}
	return map[string]any{"labels": told}
}

type refusal struct {
	Object int    `json:"object"`
	Schema string `json:"schema,omitempty"`
	Agent  string `json:"agent,omitempty"`
}

func (a *agent) read(raw json.RawMessage) (_ *document, schema string, err error) {
	defer func() {
		if wrong := recover(); wrong != nil {
			err = fmt.Errorf("%s: %v", panics, wrong)
		}
	}()
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		return nil, "", err
	}
	p := &document{namespace: u.GetNamespace(), name: u.GetName()}
	switch u.GetKind() {
	case "CiliumNetworkPolicy":
		p.kind = "cnp"
		if p.namespace == "" {
			p.namespace = "default"
		}
		if e := a.validator.ValidateCNP(u); e != nil {
			schema = e.Error()
		}
	case "CiliumClusterwideNetworkPolicy":
		p.kind, p.namespace = "ccnp", ""
		if e := a.validator.ValidateCCNP(u); e != nil {
			schema = e.Error()
		}
	case "NetworkPolicy":
		p.kind = "knp"
		if p.namespace == "" {
			p.namespace = "default"
		}
		p.kubernetes = &slim_networking_v1.NetworkPolicy{}
		if err = json.Unmarshal(raw, p.kubernetes); err == nil {
			p.kubernetes.Namespace = p.namespace
			fillIn(p.kubernetes)
		}
		p.resource = ipcachetypes.NewResourceID(ipcachetypes.ResourceKindNetpol, p.namespace, p.name)
		return p, "", err
	default:
		return nil, "", fmt.Errorf("unknown kind %q", u.GetKind())
	}
	p.cilium = &cilium_v2.CiliumNetworkPolicy{}
	if err = json.Unmarshal(raw, p.cilium); err == nil {
		p.cilium.Namespace = p.namespace
	}
	kind := ipcachetypes.ResourceKindCNP
	if p.kind == "ccnp" {
		kind = ipcachetypes.ResourceKindCCNP
	}
	p.resource = ipcachetypes.NewResourceID(kind, p.namespace, p.name)
	return p, schema, err
}
