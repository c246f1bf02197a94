package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy"
	policytypes "github.com/cilium/cilium/pkg/policy/types"
	"github.com/cilium/cilium/pkg/u8proto"
)

type side struct {
	Verdict   string   `json:"verdict"`
	Redirect  string   `json:"redirect,omitempty"`
	Redirects []string `json:"redirects,omitempty"` // of the same proxy port: any of them may be the one
	By        []string `json:"by,omitempty"`
	EngineBy  []string `json:"engine_by,omitempty"`
	Auth      string   `json:"auth,omitempty"`
	Error     string   `json:"error,omitempty"`
}

// Rules of an entry, by their labels; and "reserved:…" for those that the engine made.
func (s *set) rulesOf(meta policy.RuleMeta) (list []string, own []int) {
	for _, l := range meta.LabelArray() {
		for _, one := range l {
			if one.Key == "oracle.rule" {
				i, err := strconv.Atoi(one.Value)
				must(err)
				list = append(list, s.rules[i].ref)
				own = append(own, i)
			} else if one.Source == labels.LabelSourceReserved {
				list = append(list, one.Source+":"+one.Value)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list), own
}

func (s *set) ask(ingress bool, subject, peer *end, proto u8proto.U8proto, port uint16) side {
	if !subject.enforced {
		return side{Verdict: "n/a"}
	}
	d := s.policyOf(subject)
	if d.err != nil {
		return side{Verdict: "error", Error: d.err.Error()}
	}
	key := policy.EgressKey()
	enabled := d.all.SelectorPolicy.EgressPolicyEnabled
	if ingress {
		key = policy.IngressKey()
		enabled = d.all.SelectorPolicy.IngressPolicyEnabled
	}
	key = key.WithIdentity(s.identityOf(peer).ID).WithPortProto(proto, port)
	entry, meta, found := d.all.Lookup(key)
	if !enabled {
		return side{Verdict: "allowed:no-policy"}
	}
	engineBy, _ := s.rulesOf(meta)
	if !found {
		engineBy = nil
	}
	a := side{EngineBy: engineBy}
	denied := entry.IsDeny()
	for i, alone := range d.alone {
		r := s.rules[i]
		if alone == nil || r.entry.Ingress != ingress || r.entry.IsDeny() != denied {
			continue
		}
		_, meta, found := alone.Lookup(key)
		if _, own := s.rulesOf(meta); found && slices.Contains(own, i) {
			a.By = append(a.By, r.ref)
		}
	}
	switch {
	case denied && len(a.By) > 0:
		a.Verdict = "denied:explicit"
	case denied:
		a.Verdict = "denied:default"
		a.By = s.policiesOf(d, ingress, true)
	case len(a.By) > 0:
		a.Verdict = "allowed:rule"
		a.Redirect, a.Redirects = redirectOf(d, entry)
		if auth := entry.AuthRequirement.AuthType(); auth != policytypes.AuthTypeDisabled {
			a.Auth = auth.String()
		}
	case slices.Contains(engineBy, "reserved:allow-localhost-ingress"):
		a.Verdict = "allowed:localhost"
	default:
		a.Verdict = "allowed:default-allow"
		a.By = s.policiesOf(d, ingress, false)
	}
	slices.Sort(a.By)
	a.By = slices.Compact(a.By)
	return a
}

func (s *set) policiesOf(d *distilled, ingress, defaultDeny bool) (list []string) {
	for i, r := range s.rules {
		if d.selects[i] && r.entry.Ingress == ingress && (r.entry.DefaultDeny || !defaultDeny) {
			list = append(list, r.policy.key())
		}
	}
	return list
}

func redirectOf(d *distilled, entry policy.MapStateEntry) (string, []string) {
	if !entry.IsRedirectEntry() {
		return "", nil
	}
	priority := priorityOf(entry)
	var exact string
	var list []string
	for _, r := range d.parsers[entry.ProxyPort] {
		list = append(list, r.parser)
		if r.priority == priority {
			exact = r.parser
		}
	}
	slices.Sort(list)
	return exact, slices.Compact(list)
}

type answer struct {
	Refused []refusal            `json:"refused"`
	Sides   [][2]side            `json:"sides"` // egress, ingress of each connection
	Selects map[string][2]string `json:"selects,omitempty"`
}

// Default deny, and the ends that a policy selects.
func (s *set) selects(policies []*document) map[string][2]string {
	told := map[string][2]string{}
	for _, p := range policies {
		if p == nil || p.err != nil {
			continue
		}
		var deny, ends []string
		for _, r := range s.rules {
			if r.policy == p && r.entry.DefaultDeny {
				deny = append(deny, map[bool]string{true: "ingress", false: "egress"}[r.entry.Ingress])
			}
		}
		for name, e := range s.agent.ends {
			if !e.enforced {
				continue
			}
			d := s.policyOf(e)
			for i, r := range s.rules {
				if d.selects[i] && r.policy == p {
					ends = append(ends, name)
				}
			}
		}
		slices.Sort(deny)
		slices.Sort(ends)
		told[p.key()] = [2]string{strings.Join(slices.Compact(deny), ","), strings.Join(slices.Compact(ends), ",")}
	}
	return told
}

func (a *agent) answer(q *question) any {
	told := answer{Refused: []refusal{}, Sides: [][2]side{}}
	policies := make([]*document, len(q.Objects))
	for i, raw := range q.Objects {
		p, schema, err := a.read(raw)
		if err != nil || schema != "" {
			r := refusal{Object: i, Schema: schema}
			if err != nil {
				r.Agent = err.Error()
			} else if err = a.parse(p); err != nil {
				r.Agent = err.Error()
			}
			told.Refused = append(told.Refused, r)
			continue
		}
		policies[i] = p
	}
	s := a.load(policies)
	for i, p := range policies {
		if p != nil && p.err != nil {
			told.Refused = append(told.Refused, refusal{Object: i, Agent: p.err.Error()})
		}
	}
	for _, c := range q.Connections {
		src, dst := s.endOf(c[0].(string)), s.endOf(c[1].(string))
		proto, err := u8proto.ParseProtocol(c[2].(string))
		must(err)
		port := uint16(c[3].(float64))
		told.Sides = append(told.Sides, [2]side{
			s.ask(false, src, dst, proto, port),
			s.ask(true, dst, src, proto, port)})
	}
	if q.Selects {
		told.Selects = s.selects(policies)
	}
	return told
}

// What the agent would say of a policy that the resource definition refuses.
func (a *agent) parse(p *document) error {
	var err error
	if p.kind == "cnp" {
		_, err = p.cilium.Parse(logger, a.world.Cluster)
	} else if p.kind == "ccnp" {
		_, err = p.asClusterwide().Parse(logger, a.world.Cluster)
	}
	return err
}
