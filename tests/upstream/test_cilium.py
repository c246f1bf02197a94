"""Recorded events of Cilium through the monitor socket, the observer and the command line: they are found as others are."""
import json
import os

import pytest

from agent import Monitor
from follower import Following
from observer import GOLDEN, Observer, tycho

# Of whom nobody knows the pod; what is skipped says nothing.
LEFT_OUT = ('lost', 'trace-sock')


class Line:
    def __init__(self, text):
        _, self.kind, payload, _, _, self.outcome, expected, _, _ = text.split('\t')
        self.bytes = bytes.fromhex(payload) if self.kind != 'lost' else b''
        # what is no flow there is an error of the reference's, in words
        self.flow = json.loads(expected) if self.outcome == 'flow' else None


def recorded():
    with open(os.path.join(GOLDEN, 'events', 'events.tsv'), encoding='utf-8') as f:
        lines = [Line(text) for text in f.read().split('\n')[1:] if text]
    return [line for line in lines if line.kind not in LEFT_OUT]

LINES = recorded()
FLOWS = [line.flow for line in LINES if line.outcome == 'flow' and line.kind not in ('debug', 'agent')]


class Reader(Observer):
    """An observer whose one source is that socket."""

    def __init__(self, monitor):
        super().__init__('--source', 'cilium-monitor', '--cilium-monitor', monitor.path, '--cilium-agent', 'none',
                         '--cilium-release', '1.19', keep_time=False, path='')

    def argv(self):
        words = super().argv()
        at = words.index('--replay')
        return [w for w in words[:at] + words[at + 2:] if w != '--no-bpf']

    wait = Following.wait


@pytest.fixture(scope='module')
def reader(tmp_path_factory):
    with Monitor(str(tmp_path_factory.mktemp('m'))) as monitor, Reader(monitor) as ob:
        monitor.say(*(line.bytes for line in LINES if line.bytes))
        with ob.client() as c:
            ob.wait(lambda: len(c.flows(first=True, number=100000)) >= len(FLOWS), 'all flows')
        yield ob


def observe(ob, *words):
    done = tycho('observe', *words[:1], '--server', ob.tcp, '--last', '100000', '-o', 'json', *words[1:])
    return [json.loads(line) for line in done.stdout.splitlines()]


def event(f):
    return f.get('event_type', {})

TRACE, DROP, VERDICT, CAPTURE, L7 = 4, 1, 5, 3, 129

# flags, and which flows they are to find
CASES = {
    '--verdict AUDIT': lambda f: f.get('verdict') == 'AUDIT',
    '--verdict REDIRECTED': lambda f: f.get('verdict') == 'REDIRECTED',
    '--verdict DROPPED': lambda f: f.get('verdict') == 'DROPPED',
    '--verdict ERROR': lambda f: f.get('verdict') == 'ERROR',
    '--type trace': lambda f: event(f).get('type') == TRACE,
    '--type drop': lambda f: event(f).get('type') == DROP,
    '--type policy-verdict': lambda f: event(f).get('type') == VERDICT,
    '--type capture': lambda f: event(f).get('type') == CAPTURE,
    '--type l7': lambda f: event(f).get('type') == L7,
    '--type trace:to-endpoint': lambda f: event(f).get('type') == TRACE and event(f).get('sub_type', 0) == 0,
    '--type trace:to-proxy': lambda f: event(f).get('type') == TRACE and event(f).get('sub_type', 0) == 1,
    '--type trace:to-crypto': lambda f: event(f).get('type') == TRACE and event(f).get('sub_type', 0) == 13,
    '--drop-reason-desc POLICY_DENIED': lambda f: f.get('drop_reason_desc') == 'POLICY_DENIED',
    '--drop-reason-desc POLICY_DENY': lambda f: f.get('drop_reason_desc') == 'POLICY_DENY',
    '--encrypted': lambda f: f.get('IP', {}).get('encrypted', False),
    '--unencrypted': lambda f: not f.get('IP', {}).get('encrypted', False),
    '--type policy-verdict --traffic-direction ingress':
        lambda f: event(f).get('type') == VERDICT and f.get('traffic_direction') == 'INGRESS',
    '--tcp-flags SYN': lambda f: f.get('l4', {}).get('TCP', {}).get('flags', {}).get('SYN', False),
    '--http-method GET': lambda f: f.get('l7', {}).get('http', {}).get('method') == 'GET',
    '--http-status 404': lambda f: f.get('l7', {}).get('http', {}).get('code') == 404,
    '--protocol http': lambda f: 'http' in f.get('l7', {}),
    '--protocol kafka': lambda f: 'kafka' in f.get('l7', {}),
    '--protocol icmpv6': lambda f: 'ICMPv6' in f.get('l4', {}),
    '--protocol sctp': lambda f: 'SCTP' in f.get('l4', {}),
    '--protocol dns': lambda f: 'dns' in f.get('l7', {}),
    '--ipv6': lambda f: f.get('IP', {}).get('ipVersion') == 'IPv6',
    '--to-ip 10.0.0.34': lambda f: f.get('IP', {}).get('destination') == '10.0.0.34',
    '--identity 30500': lambda f: 30500 in (f['source'].get('identity'), f['destination'].get('identity')),
}


@pytest.mark.parametrize('flags', CASES)
def test_filters_find_them_as_the_reference_made_them(reader, flags):
    want = [f for f in FLOWS if CASES[flags](f)]
    got = observe(reader, 'flows', *flags.split())
    if flags.startswith('--identity'):
        # the side that an event does not name is known to the agent, and to nobody here
        assert {g['flow']['event_type']['type'] for g in got} >= {TRACE, DROP, VERDICT, L7}
        assert 0 < len(got) <= len(want)
    else:
        assert len(want) > 0
        assert len(got) == len(want)


def test_what_no_decoder_accepts_is_no_flow(reader):
    assert len(observe(reader, 'flows')) == len(FLOWS)


def test_debug_and_agent_events_are_kept_beside_the_flows(reader):
    debug = [line.flow for line in LINES if line.kind == 'debug' and line.outcome == 'flow']
    assert [d['debug_event']['message'] for d in observe(reader, 'debug-events')] == [d['message'] for d in debug]
    agent = [line.flow for line in LINES if line.kind == 'agent']
    told = [a['agent_event'] for a in observe(reader, 'agent-events')]
    assert [a for a in told if a in agent] == agent
    assert [a['unknown']['type'] for a in told if 'cilium-' in a.get('unknown', {}).get('type', '')] == ['cilium-connected']
