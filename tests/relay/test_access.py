"""Authorization: who comes with which certificate or token sees which flows; and every query is in the log."""
import collections
import os
import re

import grpc
import pytest

import wire
from cluster import CONNECTED, Impostor, Node, Relay, cluster, nodes_of, of, over, response, split
from daemon import until
from observer import BASE_S, stamp, tycho
from test_tls import Authority

SHOP, OPS = 'a token for the shop', 'a token for operators'


def between(node, i, source, destination):
    return of(node, i, source={'namespace': source, 'pod_name': 'p-0'},
              destination={'namespace': destination, 'pod_name': 'q-0'})


# Every pair of namespaces once on each node; flow i is seconds[i].
PAIRS = [(s, d) for s in ('shop', 'bank', 'web') for d in ('shop', 'bank', 'web')]
OF_SHOP = [i for i, (s, d) in enumerate(PAIRS) if 'shop' in (s, d)]
EVERYTHING = dict(first=True, number=wire.ALL)


def lines(node):
    return [between(node, i, s, d) for i, (s, d) in enumerate(PAIRS)]


def as_(token):
    return [('authorization', 'Bearer ' + token)]


class Rules:
    def __init__(self, folder):
        self.path = os.path.join(str(folder), 'access')
        self.folder = str(folder)

    def token(self, name, text):
        path = os.path.join(self.folder, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w') as f:
            f.write(text + '\n')
        return path

    def write(self, *rules):
        with open(self.path + '.new', 'w') as f:
            f.write(''.join(r + '\n' for r in rules))
        os.replace(self.path + '.new', self.path)


@pytest.fixture
def rules(tmp_path):
    r = Rules(tmp_path)
    r.write('token-file %s shop' % r.token('shop', SHOP), 'token-file %s *' % r.token('ops', OPS))
    return r


@pytest.fixture(scope='module')
def nodes():
    with nodes_of(has_store=True, a=lines('a'), b=lines('b')) as both:
        yield both


@pytest.fixture
def guarded(rules, nodes):
    with over(nodes, '--access-file', rules.path) as relay:
        with relay.client() as client:
            until(lambda: len(client.GetNodes(metadata=as_(OPS)).nodes) == 2 and all(
                n.state == CONNECTED for n in client.GetNodes(metadata=as_(OPS)).nodes))
            yield relay, nodes, client


def seen(client, token, **request):
    flows, _ = split(client.GetFlows(metadata=as_(token), **(request or EVERYTHING)))
    return flows


def test_who_shows_nothing_or_the_wrong_thing_is_unauthenticated(guarded):
    _, _, client = guarded
    for metadata in (None, as_('a token for nobody'), [('authorization', 'Basic c2hvcA==')]):
        for call in (lambda: client.GetFlows(metadata=metadata, **EVERYTHING),
                     lambda: client.ServerStatus(metadata=metadata), lambda: client.GetNodes(metadata=metadata)):
            assert wire.status_of(call)[0] == 'UNAUTHENTICATED'
    assert client.call('grpc.health.v1.Health', 'Check').status == 1  # for probes


def test_flows_are_seen_by_those_to_whom_one_end_belongs(guarded):
    _, _, client = guarded
    assert seen(client, OPS) == ['%s-%d' % (n, i) for i in range(9) for n in 'ab']
    assert seen(client, SHOP) == ['%s-%d' % (n, i) for i in OF_SHOP for n in 'ab']
    batches = client.call('tycho.v1.Flows', 'GetFlowBatches', metadata=as_(SHOP), **EVERYTHING)
    assert split(r for b in batches for r in b.responses)[0] == ['%s-%d' % (n, i) for i in OF_SHOP for n in 'ab']


def test_filters_and_masks_do_not_widen_what_is_seen(guarded):
    _, _, client = guarded

    def numbers(**request):
        return sorted({int(u.split('-')[1]) for u in seen(client, SHOP, **dict(EVERYTHING, **request))})
    assert numbers(whitelist=[{'source_pod': ['bank/']}]) == [PAIRS.index(('bank', 'shop'))]
    assert numbers(whitelist=[{'source_pod': ['bank/'], 'destination_pod': ['web/']}]) == []
    assert numbers(whitelist=[{'source_pod': ['bank/'], 'destination_pod': ['web/', '/']}]) == [PAIRS.index(('bank', 'shop'))]
    assert numbers(whitelist=[{'verdict': ['FORWARDED']}, {}]) == OF_SHOP
    assert numbers(whitelist=[{'experimental': {'cel_expression': ['true']}}]) == OF_SHOP
    assert numbers(blacklist=[{'source_pod': ['shop/']}]) == [i for i in OF_SHOP if PAIRS[i][0] != 'shop']
    assert numbers(field_mask={'paths': ['uuid']}) == OF_SHOP


def test_counts_and_namespaces_are_cut_the_same_way(guarded):
    _, _, client = guarded
    whole, part = client.ServerStatus(metadata=as_(OPS)), client.ServerStatus(metadata=as_(SHOP))
    assert whole.seen_flows == 18
    assert (part.num_flows, part.seen_flows, part.num_connected_nodes.value) == (10, 10, 2)
    assert [n.seen_flows for n in client.GetNodes(metadata=as_(OPS)).nodes] == [9, 9]
    assert [(n.name, n.state, n.seen_flows, n.num_flows) for n in client.GetNodes(metadata=as_(SHOP)).nodes] == [
        ('a', CONNECTED, 0, 0), ('b', CONNECTED, 0, 0)]
    assert [n.namespace for n in client.GetNamespaces(metadata=as_(OPS)).namespaces] == ['bank', 'shop', 'web']
    assert [n.namespace for n in client.GetNamespaces(metadata=as_(SHOP)).namespaces] == ['shop']


@pytest.mark.parametrize('request_', [
    {}, {'whitelist': [{'verdict': ['FORWARDED']}]}, {'since': {'seconds': BASE_S}, 'until': {'seconds': BASE_S + 600}, 'rates_step_s': 60}])
def test_the_service_map_has_the_edges_that_ones_own_namespaces_are_an_end_of(guarded, request_):
    _, _, client = guarded

    def told(token):
        answers = list(client.call('tycho.v1.History', 'GetServiceMap', metadata=as_(token), **request_))
        edges = collections.Counter()
        for e in (e for a in answers for e in a.edges):
            edges[e.source.namespace, e.destination.namespace] += e.flows
        return edges, sum(r.flows for a in answers for r in a.rates)
    has_rates = 'rates_step_s' in request_
    until(lambda: told(OPS) == ({p: 2 for p in PAIRS}, 18 * has_rates), fault=lambda: told(OPS))  # the stores have it when it is sealed
    assert told(SHOP) == ({PAIRS[i]: 2 for i in OF_SHOP}, 10 * has_rates)


def test_whether_the_record_is_whole_is_for_all_how_much_there_is_is_not(guarded):
    _, nodes, client = guarded

    def covered(c, token):
        got = c.call('tycho.v1.History', 'GetCoverage', metadata=as_(token) if token else None)
        return sorted((x.node_name, x.error, x.records > 0, x.HasField('oldest'), x.HasField('edges_oldest')) for x in got)
    # the stores have it when it is sealed
    until(lambda: covered(client, OPS) == [('a', '', True, True, True), ('b', '', True, True, True)])
    assert covered(client, SHOP) == [('a', '', False, True, False), ('b', '', False, True, False)]


def test_what_cannot_be_cut_down_is_for_those_who_may_see_all(guarded):
    _, _, client = guarded
    assert wire.status_of(lambda: client.GetAgentEvents(metadata=as_(SHOP)))[0] == 'PERMISSION_DENIED'
    assert wire.status_of(lambda: client.GetAgentEvents(metadata=as_(OPS)))[0] == 'UNIMPLEMENTED'


def test_every_query_is_in_the_log_and_no_token_is(guarded):
    relay, _, client = guarded
    seen(client, SHOP, number=3, whitelist=[{'verdict': ['FORWARDED']}])
    until(lambda: 'flows=6' in relay.log())
    line = [x for x in relay.log().splitlines() if 'flows=6' in x][0]
    for part in ('msg="query ended"', 'token-file', 'method=/observer.Observer/GetFlows', 'peer=ipv4:127.0.0.1',
                 r'\"number\":\"3\"', 'FORWARDED'):
        assert part in line, line
    list(client.call('tycho.v1.Flows', 'GetFlowBatches', metadata=as_(SHOP), number=4, whitelist=[{'protocol': ['x' * 600]}]))
    until(lambda: 'method=/tycho.v1.Flows/GetFlowBatches' in relay.log())
    line = [x for x in relay.log().splitlines() if 'GetFlowBatches' in x][0]
    assert r'\"number\":\"4\"' in line and 'x' * 400 + '…' in re.sub('x{400,}', 'x' * 400, line), line  # what is long is cut
    follower = client.GetFlows(metadata=as_(SHOP), follow=True, number=5)
    next(follower)
    until(lambda: re.search(r'msg=query who=.*method=/observer.Observer/GetFlows request=.*\\"number\\":\\"5\\"', relay.log()))  # before its end
    follower.cancel()
    wire.status_of(lambda: client.ServerStatus())
    until(lambda: 'msg="query refused" who=unknown' in relay.log())
    assert SHOP not in relay.log() and OPS not in relay.log()


def test_new_rules_hold_for_the_next_query_and_for_followers_that_lose_their_rights(guarded, rules):
    relay, _, client = guarded
    streams = {t: client.GetFlows(metadata=as_(t), follow=True, number=1, timeout=60) for t in (OPS, SHOP)}
    for stream in streams.values():
        next(stream)
    rules.write('token-file %s *' % rules.token('ops', OPS), 'token-file %s bank' % rules.token('shop', SHOP))
    assert wire.status_of(lambda: streams[SHOP]) == ('PERMISSION_DENIED', 'your rights have changed; ask again')
    assert seen(client, SHOP) == ['%s-%d' % (n, i) for i, p in enumerate(PAIRS) if 'bank' in p for n in 'ab']
    rules.write('nonsense')
    until(lambda: seen(client, OPS) and 'access file not reread; the old rules stay' in relay.log())
    streams[OPS].cancel()


def test_a_new_token_takes_the_old_ones_place(guarded, rules):
    _, _, client = guarded
    rules.token('shop', 'another token of the shop')
    until(lambda: wire.status_of_or_none(lambda: list(client.GetFlows(metadata=as_(SHOP), number=1))) == 'UNAUTHENTICATED')
    assert seen(client, 'another token of the shop') == ['%s-%d' % (n, i) for i in OF_SHOP for n in 'ab']


def test_certificates_say_who_it_is(tmp_path):
    authority, rules = Authority(tmp_path, 'authority'), Rules(tmp_path)
    server = authority.issue('server', 'relay.test')
    rules.write('cert ui.example  *', 'cert *.shop.example  shop')

    def client_of(relay, name, *dns):
        cert, key = authority.issue(name, *dns)
        parts = [open(p, 'rb').read() for p in (authority.cert, key, cert)]
        return wire.Client(relay.address, grpc.ssl_channel_credentials(*parts),
                           [('grpc.ssl_target_name_override', 'relay.test')])
    with cluster('--access-file', rules.path, '--tls-cert-file', server[0], '--tls-key-file', server[1],
                 '--tls-client-ca-file', authority.cert, a=lines('a')) as (relay, _):
        with client_of(relay, 'ui', 'ui.example') as ui, client_of(relay, 'cart', 'x.test', 'cart.shop.example') as cart, \
                client_of(relay, 'stranger', 'shop.example') as stranger, \
                client_of(relay, 'many', *('x%d.test' % i for i in range(60)), 'cart.shop.example') as many:
            until(lambda: ui.GetNodes().nodes[0].state == CONNECTED)
            assert split(ui.GetFlows(**EVERYTHING))[0] == ['a-%d' % i for i in range(9)]
            assert split(cart.GetFlows(**EVERYTHING))[0] == ['a-%d' % i for i in OF_SHOP]
            assert split(many.GetFlows(**EVERYTHING))[0] == ['a-%d' % i for i in OF_SHOP]
            assert wire.status_of(lambda: stranger.GetFlows(**EVERYTHING))[0] == 'UNAUTHENTICATED'


def test_an_observer_keeps_the_same_rules(rules):
    rules.write('local *', 'token-file %s shop' % rules.token('shop', SHOP))
    with Node('a', '--access-file', rules.path, has_store=True, lines=lines('a')) as node:
        with wire.Client(node.socket) as local, node.client() as client:
            until(lambda: local.ServerStatus().seen_flows == 9)
            assert split(local.GetFlows(**EVERYTHING))[0] == ['a-%d' % i for i in range(9)]
            assert seen(client, SHOP) == ['a-%d' % i for i in OF_SHOP]
            part = client.ServerStatus(metadata=as_(SHOP))
            assert (part.num_flows, part.seen_flows) == (5, 5)
            assert [n.namespace for n in client.GetNamespaces(metadata=as_(SHOP)).namespaces] == ['shop']
            assert client.GetNodes(metadata=as_(SHOP)).nodes[0].seen_flows == 0
            until(lambda: [x.records > 0 for x in local.call('tycho.v1.History', 'GetCoverage')] == [True])
            assert [(x.records, x.HasField('edges_oldest')) for x in client.call('tycho.v1.History', 'GetCoverage', metadata=as_(SHOP))] == [
                (0, False)]
            assert wire.status_of(lambda: client.GetFlows(number=1))[0] == 'UNAUTHENTICATED'
            assert wire.status_of(lambda: client.call('peer.Peer', 'Notify', metadata=as_(SHOP)))[0] == 'PERMISSION_DENIED'
        until(lambda: 'flows=5' in node.log())


def test_of_a_hubble_agent_no_counts_are_told_to_those_who_see_a_part(rules):
    def answer(path, request, context):
        if path.endswith('/ServerStatus'):
            yield wire.message('observer.ServerStatusResponse')(num_flows=100, seen_flows=1000).SerializeToString()
        elif path.endswith('/GetFlows'):  # what it was asked is what it would filter by
            asked = wire.GetFlowsRequest.FromString(request)
            pods = sorted(p for f in asked.whitelist for p in list(f.source_pod) + list(f.destination_pod))
            yield response('hubble', BASE_S, 'asked-for-' + ','.join(pods))
    with Impostor(answer) as hubble:
        with Relay('--access-file', rules.path, peers=['hubble=' + hubble.address]) as relay, relay.client() as client:
            until(lambda: client.ServerStatus(metadata=as_(OPS)).seen_flows == 1000)
            part = client.ServerStatus(metadata=as_(SHOP))
            assert (part.seen_flows, part.num_connected_nodes.value) == (0, 1)
            assert seen(client, SHOP, number=1) == ['asked-for-shop/,shop/']


def test_the_command_shows_its_token_from_a_file_and_not_in_plain_text_to_others(guarded, rules):
    relay, _, _ = guarded
    flags = ['--server', relay.address, 'observe', '--first', '100', '-o', 'json']
    p = tycho(*flags, '--token-file', rules.token('mine', SHOP), check=0)
    assert p.stdout.count('"flow"') == 10
    # what the command asks beside the flows (coverage) is not for everybody, and no reason to fail
    p = tycho('--server', relay.address, 'observe', '--since', '2023-01-01T00:00:00Z', '-o', 'json', '--token-file',
              rules.token('mine', SHOP), check=0)
    assert p.stdout.count('"flow"') == 10
    assert 'code = Unauthenticated' in tycho(*flags, check=1).stderr
    p = tycho('--server', 'example.org:4245', 'status', '--token-file', rules.token('mine', SHOP), check=1)
    assert p.stderr == 'the token would travel in plain text (use --tls)\n'


def test_counts_that_are_not_told_are_not_printed_as_none(guarded, rules):
    """A node with "0 records" and 0.00 flows a second is something else than one whose counts are for others."""
    relay, _, client = guarded
    until(lambda: all(n.uptime_ns > 10**9 for n in client.GetNodes(metadata=as_(OPS)).nodes))

    def rows(name, text, *words):
        p = tycho(*words, '--server', relay.address, '--token-file', rules.token(name, text), check=0)
        return [line.split() for line in p.stdout.splitlines()[1:]]

    until(lambda: all(row[4] == '10' for row in rows('all', OPS, 'coverage')))  # nine flows, and that the agent started
    assert [row[:2] + row[4:] for row in rows('mine', SHOP, 'coverage')] == [['a', 'covered', '-', 'store'], ['b', 'covered', '-', 'store']]
    assert [row[4] for row in rows('mine', SHOP, 'coverage', '--since', stamp(1))] == ['-', '-']
    assert [row[4] for row in rows('all', OPS, 'coverage', '--since', stamp(1))] == ['9', '9']
    assert [(row[3] == 'N/A', row[4]) for row in rows('mine', SHOP, 'list', 'nodes')] == [(True, 'N/A')] * 2
    assert [(row[3] == 'N/A', row[4]) for row in rows('all', OPS, 'list', 'nodes')] == [(False, '10/65535')] * 2
