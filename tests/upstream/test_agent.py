"""Names and policies of a Cilium agent, on the events of its monitor socket: there, gone, and back."""
import json
import urllib.request

import pytest

from agent import Agent, Monitor, agent_notify, http_request, policy_verdict
from follower import Following
from observer import Observer

ALLOWED = policy_verdict(42, 1001, 0, 80, 2, '10.0.2.9', '10.0.1.5')
DENIED = policy_verdict(42, 1001, -181, 81, 2, '10.0.2.9', '10.0.1.5')
BY_DEFAULT = policy_verdict(42, 1001, -133, 82, 2, '10.0.2.9', '10.0.1.5')
STRANGER = policy_verdict(42, 2, 0, 80, 2, '192.0.2.1', '10.0.1.5')


class Node(Observer):
    """An observer that reads Cilium's monitor socket, and the names of its agent."""

    def __init__(self, agent, monitor, *options):
        super().__init__('--source', 'cilium-monitor', '--cilium-monitor', monitor.path, '--cilium-agent', agent.path,
                         *options, keep_time=False, path='')
        self.monitor = monitor

    def argv(self):
        words = super().argv()
        at = words.index('--replay')
        return [w for w in words[:at] + words[at + 2:] if w != '--no-bpf']

    wait, messages, lost = Following.wait, Following.messages, Following.lost

    def hear(self, n, *samples):
        """The last of n flows, once these samples have come."""
        self.monitor.say(*samples)
        with self.client() as c:
            return self.wait(lambda: (lambda f: f if len(f) == n else None)(c.flows(first=True)), '%d flows' % n)[-1]


@pytest.fixture
def folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp('a'))


def named(ob, agent, rounds=1):
    """The agent has answered so often, and what it said is in force."""
    with agent.asked:
        assert agent.asked.wait_for(lambda: agent.rounds >= rounds, 30)
    return ob.wait(lambda: "names from Cilium's agent" in ob.log(), 'names')


def metrics(ob):
    address = next(a for a in ob.addresses if a.startswith('metrics='))[len('metrics='):]
    with urllib.request.urlopen('http://' + address + '/metrics', timeout=20) as page:
        return page.read().decode()


def test_names_services_and_policies_are_on_the_flows(folder):
    with Agent(folder) as agent, Monitor(folder) as monitor, Node(agent, monitor) as ob:
        named(ob, agent)
        f = ob.hear(1, ALLOWED)
        assert (f.source.namespace, f.source.pod_name, f.source.identity) == ('shop', 'client-0', 1001)
        assert f.source.labels == ['k8s:app=client', 'k8s:io.cilium.k8s.policy.cluster=east']
        assert (f.source.ID, f.source.cluster_name) == (0, 'east')
        assert (f.destination.ID, f.destination.pod_name, f.destination.identity) == (42, 'db-0', 5000)
        assert f.destination_service.name == 'db'
        assert f.source_names == ['client-0.shop.example'] and not f.destination_names
        policy, = f.ingress_allowed_by
        assert (policy.name, policy.namespace, policy.kind, policy.revision) == \
            ('allow-clients', 'shop', 'CiliumNetworkPolicy', 7)
        assert len(policy.labels) == 4

        f = ob.hear(2, DENIED)
        assert [p.name for p in f.ingress_denied_by] == ['deny-clients']
        assert not f.ingress_allowed_by and f.drop_reason_desc == 181
        f = ob.hear(3, BY_DEFAULT)
        assert not f.ingress_denied_by and f.drop_reason_desc == 133
        f = ob.hear(4, STRANGER)
        assert not f.ingress_allowed_by and f.source.labels == ['reserved:world']


def test_an_agent_that_is_away_leaves_its_names_and_a_new_one_renews_them(folder):
    with Agent(folder) as agent, Monitor(folder) as monitor, Node(agent, monitor) as ob:
        named(ob, agent)
        agent.stop()
        # what the monitor socket tells of makes it ask, in vain
        monitor.say(agent_notify(7, json.dumps({'id': 43})))
        ob.wait(lambda: 'the names it gave stay' in ob.log(), 'a word about the agent')
        assert ob.hear(1, ALLOWED).source.pod_name == 'client-0'
        rounds = agent.rounds
        agent.say(pod='client-1', ingress=((80, 'other', False),))
        with agent:
            with agent.asked:
                assert agent.asked.wait_for(lambda: agent.rounds > rounds, 30)
            ob.wait(lambda: ob.log().count("names from Cilium's agent") == 2, 'names again')
            f = ob.hear(2, ALLOWED)
            assert (f.source.pod_name, f.ingress_allowed_by[0].name) == ('client-1', 'other')
            assert f.source_names == ['client-1.shop.example']


def test_what_the_agent_tells_makes_its_names_fresh(folder):
    with Agent(folder) as agent, Monitor(folder) as monitor, Node(agent, monitor) as ob:
        named(ob, agent)
        assert ob.hear(1, ALLOWED).source.pod_name == 'client-0'
        agent.say(pod='client-2')
        monitor.say(agent_notify(9, json.dumps({'cidr': '10.0.2.9/32', 'id': 1001})))  # ipcache upserted
        named(ob, agent, 2)  # long before the half minute is over
        n = 1

        def renewed():
            nonlocal n
            n += 1
            return ob.hear(n, ALLOWED).source.pod_name == 'client-2'
        ob.wait(renewed, 'the new name')


def test_what_the_kernel_lost_is_told_with_its_cpu_in_the_stream_and_the_metrics(folder):
    with Agent(folder) as agent, Monitor(folder) as monitor, Node(agent, monitor, '--metrics-listen', '127.0.0.1:0') as ob:
        ob.hear(1, ALLOWED)
        monitor.say_lost(300, 5)
        lost, = ob.wait(ob.lost, 'the loss')
        assert (lost.lost_events.num_events_lost, lost.lost_events.cpu.value) == (300, 5)
        assert 'tycho_lost_events_by_cpu_total{cpu="5"} 300\n' in metrics(ob)


def test_a_record_is_told_whole_or_counted(folder):
    """A name is told with each of its values: that may be more than a flow can hold."""
    with Agent(folder) as agent, Monitor(folder) as monitor, Node(agent, monitor, '--metrics-listen', '127.0.0.1:0') as ob:
        many = {'X-%04d' % i: ['a', 'b'] for i in range(2000)}
        f = ob.hear(1, http_request(many))
        assert [(h.key, h.value) for h in f.l7.http.headers] == [(k, v) for k in many for v in many[k]]
        assert '\ntycho_log_cut_records_total 0\n' in metrics(ob)
        f = ob.hear(2, http_request({'N' * 1000: ['v'] * 2000}))
        assert (f.Type, f.event_type.type) == (2, 129) and not f.HasField('l7')
        assert '\ntycho_log_cut_records_total 1\n' in metrics(ob)
