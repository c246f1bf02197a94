"""Drops as events: what an API server is told of the pods of this node, and how it is when that server is slow, busy, away or refuses."""
import contextlib
import os
import re
import struct
import time
import urllib.request

import pytest

from agent import Monitor, policy_verdict, tcp_packet
from daemon import until
from event_server import EventServer
from observer import Observer, flow, stamp
from pki import Authority
from test_kubernetes import Api, Node, events_in, folder  # noqa: F401: a fixture

# Pods of the recording: of node-a, and of another node. The first was deleted and made again meanwhile, with another uid.
DB0, DB0_UID = 'db-0', '558b1e4f-431a-4191-bac2-b0b0da8f9129'
WEB, WEB_UID = 'web-856ccf8c9f-lgl4v', '9375a639-f29d-426e-8cfe-3d2ccfc2e7e7'
AWAY = 'db-1'


def pod(name, namespace='shop'):
    return {'namespace': namespace, 'pod_name': name, 'identity': 4001}


def drop(i, source=None, destination=None, direction='INGRESS', reason='POLICY_DENIED', **fields):
    """Flow i, dropped; from client to db-0 unless it is said otherwise."""
    return flow(i, **dict({'verdict': 'DROPPED', 'drop_reason_desc': reason, 'traffic_direction': direction,
                           'source': source or pod('client', 'default'), 'destination': destination or pod(DB0),
                           'event_type': {'type': 1, 'sub_type': 133}}, **fields))


def to_port(i, port, **fields):
    return drop(i, l4={'TCP': {'source_port': 40000, 'destination_port': port}}, **fields)


class Told:
    """What an observer says of what it told."""

    def page(self):
        address = next(a for a in self.addresses if a.startswith('metrics='))[len('metrics='):]
        with urllib.request.urlopen('http://%s/metrics' % address, timeout=20) as f:
            return f.read().decode()

    def number(self, name):
        return float(re.search(r'^tycho_%s (\S+)$' % re.escape(name), self.page(), re.M).group(1))

    def outcomes(self):
        """How many drops came to what."""
        return {k: int(n) for k, n in re.findall(r'^tycho_drop_events_drops_total\{outcome="(\w+)"\} (\d+)$', self.page(), re.M)}

    def wait(self, test, what):
        return until(test, fault=lambda: '%s: %s\n%s' % (what, self.log(), self.outcomes()))

    def wait_outcomes(self, **want):
        """Until those have come to so many; others are as they are."""
        self.wait(lambda: want.items() <= self.outcomes().items(), want)

    def wait_known(self):
        """Until all of the recording is known."""
        events = sum(n for _, n in events_in('world', '?'))
        self.wait(lambda: self.number('kubernetes_events_total') == events, 'all of the recording')


class Telling(Told, Observer):
    """An observer of node-a that replays what it is fed, and tells drops to an API server."""

    def __init__(self, config, *options):
        super().__init__('--kubernetes', '--kubeconfig', config, '--drop-events', '--metrics-listen', '127.0.0.1:0', '--store', 'off',
                         *options)

    def argv(self):
        words = super().argv()
        words[words.index('--node-name') + 1] = 'node-a'
        return words


@pytest.fixture
def telling(folder):  # noqa: F811
    """telling('--drop-events-…', …): an observer that knows its pods; its server is in .server."""
    with contextlib.ExitStack() as stack:
        def make(*options, pair=None, token=None, known=True, **config):
            api = stack.enter_context(Api(folder, 'world'))
            server = stack.enter_context(EventServer(api, pair, token))
            ob = stack.enter_context(Telling(server.config(**config), *options))
            ob.server = server
            ob.wait_known()
            return ob
        yield make


def test_a_drop_is_an_event_of_its_pod(telling):
    ob = telling()
    ob.feed([drop(1)])
    ob.wait_outcomes(told=1)
    (method, path, event), = ob.server.asked
    assert (method, path) == ('POST', '/api/v1/namespaces/shop/events')
    name = event['metadata'].pop('name')
    assert re.fullmatch(r'db-0\.[0-9a-f]{16}', name)
    assert event == {
        'apiVersion': 'v1', 'kind': 'Event', 'metadata': {'namespace': 'shop'}, 'type': 'Warning', 'reason': 'PacketDrop',
        'message': 'Incoming packet dropped (policy_denied) from default/client (10.0.0.1) TCP/80.',
        'involvedObject': {'kind': 'Pod', 'apiVersion': 'v1', 'namespace': 'shop', 'name': DB0, 'uid': DB0_UID},
        'source': {'component': 'tycho', 'host': 'node-a'}, 'reportingComponent': 'tycho', 'reportingInstance': 'node-a',
        'firstTimestamp': stamp(1), 'lastTimestamp': stamp(1), 'count': 1}


def test_what_goes_out_is_told_to_the_sender(telling):
    ob = telling()
    ob.feed([drop(1, source=pod(WEB), destination={'identity': 2}, direction='EGRESS',
                  l4={'UDP': {'source_port': 4000, 'destination_port': 53}})])
    ob.wait_outcomes(told=1)
    event = ob.server.asked[0][2]
    assert event['message'] == 'Outgoing packet dropped (policy_denied) to world (10.0.0.2) UDP/53.'
    assert (event['involvedObject']['name'], event['involvedObject']['uid']) == (WEB, WEB_UID)


def test_without_a_direction_it_is_the_pod_of_this_node(telling):
    ob = telling('--drop-events-rate-limit', '0')
    ob.feed([drop(1, source=pod(AWAY), direction='TRAFFIC_DIRECTION_UNKNOWN')])
    ob.wait_outcomes(told=1)
    ob.feed([drop(2, source=pod(WEB), destination=pod(AWAY), direction='TRAFFIC_DIRECTION_UNKNOWN')])
    ob.wait_outcomes(told=2)
    assert [(e['involvedObject']['name'], e['message']) for _, _, e in ob.server.asked] == [
        (DB0, 'Incoming packet dropped (policy_denied) from shop/db-1 (10.0.0.1) TCP/80.'),
        (WEB, 'Outgoing packet dropped (policy_denied) to shop/db-1 (10.0.0.2) TCP/80.')]


def test_nothing_is_told_of_others(telling):
    ob = telling('--drop-events-rate-limit', '0')
    ob.feed([drop(1, destination=pod(AWAY)), drop(2, source=pod(AWAY), direction='EGRESS'), drop(3, destination=pod('nobody')),
             drop(4, destination={'identity': 2}), drop(5, verdict='FORWARDED'), drop(6, reason='INVALID_SOURCE_IP'),
             drop(7, verdict='AUDIT'), drop(8, source=pod(WEB), destination=pod(AWAY)), drop(9, reason='AUTH_REQUIRED')])
    ob.wait_outcomes(told=1)
    assert [e['message'] for _, _, e in ob.server.asked] == [
        'Incoming packet dropped (auth_required) from default/client (10.0.0.1) TCP/80.']
    assert ob.outcomes() == dict(told=1, repeated=0, rate=0, queue=0, failed=0, elsewhere=5)


def test_reasons_are_those_that_are_asked_for(telling):
    ob = telling('--drop-events-rate-limit', '0', '--drop-events-reasons', 'INVALID_SOURCE_IP, policy_deny')
    ob.feed([drop(1), drop(2, reason='INVALID_SOURCE_IP'), drop(3, reason='POLICY_DENY')])
    ob.wait_outcomes(told=2)
    assert [re.search(r'\((\w+)\)', e['message']).group(1) for _, _, e in ob.server.asked] == ['invalid_source_ip', 'policy_deny']


def test_policies_are_named_if_that_is_asked_for(telling):
    denied = {'ingress_denied_by': [{'name': 'b', 'namespace': 'shop', 'kind': 'NetworkPolicy'},
                                    {'name': 'all', 'kind': 'CiliumClusterwideNetworkPolicy'}]}
    ob = telling('--drop-events-extended')
    ob.feed([drop(1, **denied)])
    ob.wait_outcomes(told=1)
    assert ob.server.messages() == [
        'Incoming packet dropped (policy_denied) from default/client (10.0.0.1) TCP/80. Applied policies: NetworkPolicy/b. '
        'Applied clusterwide policies: CiliumClusterwideNetworkPolicy/all.']


def test_within_the_interval_it_is_told_once_and_others_beside_it(telling):
    ob = telling('--drop-events-rate-limit', '0')
    ob.feed([drop(i) for i in range(100)] + [to_port(100, 443)])
    ob.wait_outcomes(told=2, repeated=99)
    assert len(ob.server.asked) == 2


def test_what_goes_on_is_one_event_whose_count_grows(telling):
    """As kubectl makes 'x3 over 5s' of it. An event that the server has forgotten is made again, with all that it says."""
    ob = telling('--drop-events-rate-limit', '0', '--drop-events-interval', '0')
    for i, told in ((1, 1), (4, 2)):
        ob.feed([drop(i)])
        ob.wait_outcomes(told=told)
    (key, event), = ob.server.events.items()
    assert ob.server.asked[1] == ('PATCH', '/api/v1/namespaces/shop/events/' + key[1], {'count': 2, 'lastTimestamp': stamp(4)})
    assert (event['count'], event['firstTimestamp'], event['lastTimestamp']) == (2, stamp(1), stamp(4))
    ob.server.events.clear()
    ob.feed([drop(6)])
    ob.wait_outcomes(told=3)
    assert [method for method, _, _ in ob.server.asked] == ['POST', 'PATCH', 'PATCH', 'POST']
    (again, event), = ob.server.events.items()
    assert again == key and (event['count'], event['firstTimestamp'], event['lastTimestamp']) == (3, stamp(1), stamp(6))
    assert ob.outcomes()['failed'] == 0


def test_without_the_right_it_is_one_sentence_that_names_the_rule(telling):
    ob = telling('--drop-events-rate-limit', '0')
    ob.server.say(403, times=3, message='events is forbidden: User "tycho" cannot create resource "events"')
    for i in range(3):
        ob.feed([to_port(i, 80 + i)])
        ob.wait_outcomes(failed=i + 1)
    assert ob.log().count('drops cannot be told as events') == 1
    assert 'needs create and patch on events' in ob.log() and 'is forbidden' in ob.log()
    ob.feed([to_port(9, 80)])  # it was not told, and so is not repeated
    ob.wait_outcomes(told=1, failed=3, repeated=0)
    ob.wait(lambda: 'drops are told as events again' in ob.log(), 'a word of it')


def test_a_quota_is_no_missing_right(telling):
    ob = telling('--drop-events-rate-limit', '0')
    ob.server.say(403, message='events "db-0.1" is forbidden: exceeded quota: few, requested: count/events=1')
    ob.feed([drop(1), to_port(2, 443)])
    ob.wait_outcomes(told=1, failed=1)
    assert 'exceeded quota' in ob.log() and 'needs create' not in ob.log()


def test_a_server_that_is_busy_is_asked_again_when_it_says(telling):
    ob = telling()
    ob.server.say(429, headers={'Retry-After': '1'}, message='too many requests')
    ob.feed([drop(1)])
    ob.wait_outcomes(told=1, failed=0)
    first, second = ob.server.asked
    assert first == second
    assert ob.server.at[1] - ob.server.at[0] >= 1
    assert 'status 429: too many requests' in ob.log()


def test_a_server_that_fails_for_good_costs_that_event_and_no_other(telling):
    ob = telling('--drop-events-rate-limit', '0')
    ob.server.say(500, times=4, message='failed calling webhook')
    ob.feed([drop(1), to_port(2, 443)])
    ob.wait_outcomes(told=1, failed=1)
    assert len(ob.server.asked) == 5 and 'TCP/443' in ob.server.messages()[0]


def test_an_event_that_is_refused_is_not_sent_again(telling):
    ob = telling('--drop-events-rate-limit', '0')
    ob.server.say(422, message='Event is invalid')
    ob.feed([drop(1), to_port(2, 443)])
    ob.wait_outcomes(told=1, failed=1)
    assert len(ob.server.asked) == 2
    assert 'status 422: Event is invalid' in ob.log()


@pytest.mark.parametrize('code, body', [
    (404, dict(message='namespaces "shop" not found', reason='NotFound')),
    (403, dict(message='unable to create new content in namespace shop because it is being terminated', reason='Forbidden',
               details={'causes': [{'reason': 'NamespaceTerminating', 'field': 'metadata.namespace'}]}))])
def test_a_namespace_that_goes_with_its_pods_is_no_fault(telling, code, body):
    ob = telling('--drop-events-rate-limit', '0')
    ob.server.say(code, **body)
    ob.feed([drop(1), to_port(2, 443)])
    ob.wait_outcomes(told=1, failed=1)
    assert 'drops cannot be told' not in ob.log()


def test_a_server_that_is_away_is_told_when_it_is_back_how_often_it_was(telling):
    ob = telling()
    ob.server.stop()
    ob.feed([drop(1)])
    ob.wait(lambda: 'drops cannot be told as events' in ob.log(), 'a word of it')
    ob.feed([drop(i) for i in range(2, 12)])
    ob.wait_outcomes(repeated=10)
    assert ob.number('drop_events_waiting') == 1
    ob.server.start()
    ob.wait_outcomes(told=1, failed=0)
    (_, _, event), = ob.server.asked
    assert (event['count'], event['firstTimestamp'], event['lastTimestamp']) == (11, stamp(1), stamp(11))
    ob.wait(lambda: 'drops are told as events again' in ob.log(), 'a word of it')


def test_an_answer_that_was_lost_makes_no_second_event(telling):
    ob = telling('--drop-events-interval', '0', '--drop-events-rate-limit', '0')
    ob.server.may_answer.clear()
    ob.feed([drop(1)])
    ob.wait(lambda: ob.server.events, 'an event')
    ob.server.stop()
    ob.server.may_answer.set()
    ob.wait(lambda: 'drops cannot be told as events' in ob.log(), 'a word of it')
    ob.server.start()
    ob.wait_outcomes(told=1)
    ob.feed([drop(2)])
    ob.wait_outcomes(told=2)
    assert [e['count'] for e in ob.server.events.values()] == [2]


def test_a_token_is_read_again_and_the_drop_waits_for_it(telling, tmp_path):
    ca = Authority(tmp_path, 'ca')
    token = tmp_path / 'token'
    token.write_text('outworn\n')
    ob = telling(pair=ca.issue('server'), token='new', cluster=', certificate-authority: ' + ca.cert, user='tokenFile: %s' % token)
    ob.feed([drop(1)])
    ob.wait(lambda: 'drops cannot be told as events' in ob.log() and 'status 401' in ob.log(), 'a word of it')
    (tmp_path / 'next').write_text('new\n')
    os.replace(tmp_path / 'next', token)
    ob.wait_outcomes(told=1, failed=0)
    assert len(ob.server.events) == 1
    assert 'outworn' not in ob.log()


def test_a_request_that_hangs_holds_up_neither_flows_nor_the_end(telling):
    ob = telling('--drop-events-rate-limit', '0')
    ob.server.may_answer.clear()
    ob.feed([drop(1)])
    ob.wait(lambda: ob.server.asked, 'a request')
    ob.feed([to_port(i, 1000 + i) for i in range(2, 2000)])
    ob.wait_seen(1999)
    # 256 wait, one of them for the answer
    ob.wait_outcomes(told=0, queue=1999 - 256)
    assert ob.number('drop_events_waiting') == 256
    assert ob.stop() == 0


def test_a_flood_is_few_requests_and_each_drop_is_accounted_for(telling):
    n, began = 100_000, time.monotonic()
    ob = telling()
    with open(os.path.join(ob.folder, 'flood'), 'w') as f:  # one write, as fast as it is read
        f.writelines(to_port(i, 1 + i % 5000) + '\n' for i in range(n))
    with open(os.path.join(ob.folder, 'flood')) as f:
        ob.feed([f.read().rstrip('\n')])
    ob.wait_seen(n)
    ob.wait(lambda: ob.number('reader_lag_records{reader="drop-events"}') == 0, 'all of them')

    def accounted():
        page = ob.page()
        waiting = int(re.search(r'^tycho_drop_events_waiting (\d+)', page, re.M).group(1))
        lost = int(re.search(r'^tycho_lost_records_total\{reader="drop-events"\} (\d+)', page, re.M).group(1))
        out = {k: int(v) for k, v in re.findall(r'^tycho_drop_events_drops_total\{outcome="(\w+)"\} (\d+)$', page, re.M)}
        return out if not waiting and sum(out.values()) + lost == n else None
    out = ob.wait(accounted, 'an outcome for each')
    assert out['failed'] == out['elsewhere'] == out['queue'] == 0
    assert out['told'] == len(ob.server.asked) <= 2 + time.monotonic() - began  # one a second
    assert sum(e['count'] for e in ob.server.events.values()) <= out['told'] + out['repeated']


def test_the_next_word_counts_all_that_came_since(telling):
    """What the interval held back is in the count of the next time."""
    ob = telling('--drop-events-interval', '1s', '--drop-events-rate-limit', '0')
    fed = 0
    while len(ob.server.asked) < 2:
        ob.feed([drop(fed)])
        fed += 1
        ob.wait_seen(fed)
    ob.wait(lambda: sum(ob.outcomes().values()) == fed, 'an outcome for each')
    event, = ob.server.events.values()
    assert ob.outcomes()['told'] == 2 and event['count'] <= fed
    method, _, patch = ob.server.asked[1]
    assert method == 'PATCH' and patch['count'] > 2 and patch['lastTimestamp'] == stamp(patch['count'] - 1)


def drop_notify(reason, port, src, dst):
    """As the datapath of 1.19 writes it (reference/cilium-events.md 3.1)."""
    packet = tcp_packet(src, dst, 40000, port)
    return struct.pack('<BBHIIHBBIIIHBbIB3xQ', 1, reason, 0, 0, len(packet), len(packet), 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) + packet


class TellingNode(Told, Node):
    """The same, with events of Cilium's datapath and names of the API server."""

    def __init__(self, config, monitor):
        super().__init__(config, monitor, '--drop-events', '--drop-events-interval', '0', '--drop-events-rate-limit', '0')


def test_a_packet_that_policy_denies_is_one_drop_though_two_events_tell_it(folder):  # noqa: F811
    with Api(folder, 'world') as api, EventServer(api) as server, Monitor(folder) as monitor, TellingNode(server.config(), monitor) as ob:
        ob.wait_known()
        db1, db0 = '10.244.2.12', '10.244.1.12'
        ob.wait_name(db1, AWAY)
        monitor.say(policy_verdict(0, 0, -133, 5432, 0, db1, db0), drop_notify(133, 5432, db1, db0),
                    policy_verdict(0, 0, -133, 5433, 0, db1, db0), drop_notify(133, 5433, db1, db0))
        ob.wait_outcomes(told=2)
        assert ob.outcomes() == dict(told=2, repeated=0, rate=0, queue=0, failed=0, elsewhere=0)
        assert [(e['involvedObject']['uid'], e['message']) for _, _, e in server.asked] == [
            (DB0_UID, 'Incoming packet dropped (policy_denied) from shop/db-1 (10.244.2.12) TCP/%d.' % port) for port in (5432, 5433)]
