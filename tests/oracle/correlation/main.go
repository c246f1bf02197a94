// correlation answers by which policies Cilium allows or denies what, and what its agent's API tells of them.
//
//	correlation < questions > answers
//
// A question is a line of JSON: identities and their labels, an endpoint, rules, and connections of that endpoint. The answer is one, too: what
// the API has of endpoint and selectors, and for each connection that an entry of the endpoint's policy map decides, as a verdict of the datapath
// would tell it, the policies that the event parser names.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"

	"google.golang.org/protobuf/encoding/protojson"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"github.com/cilium/cilium/pkg/hubble/parser/getters"
	"github.com/cilium/cilium/pkg/identity"
	slim_corev1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/core/v1"
	"github.com/cilium/cilium/pkg/labels"
	monitorAPI "github.com/cilium/cilium/pkg/monitor/api"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/policy/correlation"
	"github.com/cilium/cilium/pkg/policy/trafficdirection"
	policyTypes "github.com/cilium/cilium/pkg/policy/types"
	"github.com/cilium/cilium/pkg/u8proto"
)

var logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1}))

type question struct {
	Identities map[identity.NumericIdentity][]string
	Endpoint   uint16
	Identity   identity.NumericIdentity
	Revision   uint64
	Localhost  bool // whether this host may always reach its endpoints, as where there is Kubernetes
	Rules      api.Rules
	Keys       []connection
}

type connection struct {
	Egress   bool                     `json:"egress"`
	Identity identity.NumericIdentity `json:"identity"`
	Protocol u8proto.U8proto          `json:"protocol"`
	Port     uint16                   `json:"port"`
}

// verdict is what a policy verdict of the datapath would say, and the policies that it is given.
type verdict struct {
	connection
	Match    uint32            `json:"match"`
	Denied   bool              `json:"denied"`
	Range    bool              `json:"range"` // decided by an entry for several ports
	Policies []json.RawMessage `json:"policies"`
}

type answer struct {
	Error     string    `json:"error,omitempty"`
	Endpoints any       `json:"endpoints,omitempty"`
	Selectors any       `json:"selectors,omitempty"`
	Verdicts  []verdict `json:"verdicts"`
}

// endpoint is what the event parser asks.
type endpoint struct {
	id       uint16
	identity *identity.Identity
	revision uint64
	policy   *policy.EndpointPolicy
}

func (e *endpoint) GetEndpointInfo(netip.Addr) (getters.EndpointInfo, bool) { return nil, false }
func (e *endpoint) GetEndpointInfoByID(id uint16) (getters.EndpointInfo, bool) {
	return e, id == e.id
}
func (e *endpoint) GetID() uint64                         { return uint64(e.id) }
func (e *endpoint) GetIdentity() identity.NumericIdentity { return e.identity.ID }
func (e *endpoint) GetK8sPodName() string                 { return "" }
func (e *endpoint) GetK8sNamespace() string               { return "" }
func (e *endpoint) GetLabels() labels.Labels              { return e.identity.Labels }
func (e *endpoint) GetPod() *slim_corev1.Pod              { return nil }

// GetPolicyCorrelationInfoForKey is the agent's, but for its locks.
func (e *endpoint) GetPolicyCorrelationInfoForKey(key policyTypes.Key) (info policyTypes.PolicyCorrelationInfo, ok bool) {
	meta, err := e.policy.GetRuleMeta(key)
	if err != nil {
		return info, false
	}
	info.RuleLabels, info.Log, info.Revision = meta.LabelArrayListString(), meta.Log(), e.revision
	return info, true
}

// deciding is the entry of the policy map that decides a connection; the longest of several that say the same.
func (e *endpoint) deciding(key policyTypes.Key) (best policyTypes.Key, entry policyTypes.MapStateEntry, found bool) {
	entry, _, found = e.policy.Lookup(key)
	if !found {
		return
	}
	found = false
	weight := func(k policyTypes.Key) int {
		w := 2 * int(k.PortPrefixLen())
		if k.Nexthdr != 0 {
			w += 16
		}
		if k.Identity != 0 {
			w++
		}
		return w
	}
	for k, v := range e.policy.Entries() {
		shift := 16 - k.PortPrefixLen()
		if v == entry && k.TrafficDirection() == key.TrafficDirection() && (k.Identity == 0 || k.Identity == key.Identity) &&
			(k.Nexthdr == 0 || k.Nexthdr == key.Nexthdr) && k.DestPort>>shift == key.DestPort>>shift &&
			(!found || weight(k) > weight(best)) {
			best, found = k, true
		}
	}
	return
}

func matchOf(k policyTypes.Key) uint32 {
	switch anybody, ports := k.Identity == 0, k.PortPrefixLen() > 0; {
	case anybody && ports:
		return monitorAPI.PolicyMatchL4Only
	case ports:
		return monitorAPI.PolicyMatchL3L4
	case anybody && k.Nexthdr != 0:
		return monitorAPI.PolicyMatchProtoOnly
	case k.Nexthdr != 0:
		return monitorAPI.PolicyMatchL3Proto
	case anybody:
		return monitorAPI.PolicyMatchAll
	}
	return monitorAPI.PolicyMatchL3Only
}

func layer4(c connection) *flowpb.Layer4 {
	port := uint32(c.Port)
	switch c.Protocol {
	case u8proto.TCP:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{DestinationPort: port}}}
	case u8proto.UDP:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{DestinationPort: port}}}
	case u8proto.SCTP:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_SCTP{SCTP: &flowpb.SCTP{DestinationPort: port}}}
	case u8proto.ICMP:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_ICMPv4{ICMPv4: &flowpb.ICMPv4{Type: port}}}
	case u8proto.ICMPv6:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_ICMPv6{ICMPv6: &flowpb.ICMPv6{Type: port}}}
	}
	return nil
}

func (e *endpoint) ask(c connection) (v verdict, ok bool) {
	direction := trafficdirection.Ingress
	if c.Egress {
		direction = trafficdirection.Egress
	}
	k, entry, found := e.deciding(policy.KeyForDirection(direction).WithIdentity(c.Identity).WithPortProto(c.Protocol, c.Port))
	if !found {
		return v, false
	}
	v = verdict{connection: c, Match: matchOf(k), Denied: entry.IsDeny(), Range: k.PortPrefixLen() > 0 && k.PortPrefixLen() < 16,
		Policies: []json.RawMessage{}}
	own, peer := &flowpb.Endpoint{ID: uint32(e.id)}, &flowpb.Endpoint{Identity: uint32(c.Identity)}
	f := &flowpb.Flow{EventType: &flowpb.CiliumEventType{Type: monitorAPI.MessageTypePolicyVerdict}, L4: layer4(c), PolicyMatchType: v.Match,
		Verdict: flowpb.Verdict_FORWARDED, TrafficDirection: flowpb.TrafficDirection_INGRESS, Source: peer, Destination: own}
	if c.Egress {
		f.TrafficDirection, f.Source, f.Destination = flowpb.TrafficDirection_EGRESS, own, peer
	}
	if v.Denied {
		f.Verdict, f.DropReasonDesc = flowpb.Verdict_DROPPED, flowpb.DropReason_POLICY_DENY
	}
	correlation.CorrelatePolicy(logger, e, f)
	for _, list := range [][]*flowpb.Policy{f.IngressAllowedBy, f.IngressDeniedBy, f.EgressAllowedBy, f.EgressDeniedBy} {
		for _, p := range list {
			text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(p)
			if err != nil {
				panic(err)
			}
			v.Policies = append(v.Policies, text)
		}
	}
	return v, true
}

func answerTo(line []byte) (a answer) {
	var q question
	defer func() {
		if r := recover(); r != nil {
			a = answer{Error: fmt.Sprint(r)}
		}
	}()
	if err := json.Unmarshal(line, &q); err != nil {
		return answer{Error: err.Error()}
	}
	e, told, err := distill(&q)
	if err != nil {
		return answer{Error: err.Error()}
	}
	told.Verdicts = []verdict{}
	for _, c := range q.Keys {
		if v, ok := e.ask(c); ok {
			told.Verdicts = append(told.Verdicts, v)
		}
	}
	return told
}

func main() {
	prepare()
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		if err := json.NewEncoder(out).Encode(answerTo(in.Bytes())); err != nil {
			fmt.Fprintln(os.Stderr, "correlation:", err)
			os.Exit(2)
		}
	}
}
