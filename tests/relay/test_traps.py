"""What is known to go wrong with many gRPC peers, each once: descriptors, pings, shared connections, buffers, half-open."""
import contextlib
import itertools
import os
import resource
import socket

import half_http2
import half_server
import wire
from cluster import CONNECTED, UNAVAILABLE, Follower, Impostor, Node, Relay, cluster, long, of, response
from daemon import LONG_S, until
from observer import BASE_S

GET_FLOWS = '/observer.Observer/GetFlows'


def resident_kib(process):
    with open('/proc/%d/status' % process.pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith('VmRSS:'))


def test_a_relay_out_of_descriptors_goes_on_and_listens_again():
    # since: who is said to be connected may not have been asked yet
    with cluster(a=None) as (relay, nodes), Follower(relay, since={'seconds': BASE_S}) as follower:
        assert follower.status() == (CONNECTED, ['a'])
        pid = relay.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir('/proc/%d/fd' % pid)) + 5, hard))
        host, port = relay.address.split(':')
        crowd = [socket.create_connection((host, int(port)), 10) for _ in range(60)]
        crowd[0].settimeout(10)
        assert crowd[0].recv(9)
        nodes['a'].feed([of('a', 1)])
        assert follower.flows(1) == ['a-1']  # what is connected stays so, on both sides
        for s in crowd:
            s.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        with relay.client() as client:  # waits for as long as the listener needs to come back
            stub = client.channel.unary_unary('/grpc.health.v1.Health/Check')
            assert stub(b'', timeout=20, wait_for_ready=True) == b'\x08\x01'
        assert 'out of file descriptors' in relay.log()


def test_no_ping_is_sent_that_a_foreign_server_could_punish():
    """Not by a keepalive, and not to measure the line while much is received (the library's default)."""
    flows = [response('p', BASE_S + i, 'p-%d' % i + 'x' * 10000) for i in range(300)]
    with half_server.Server(flows) as peer, Relay(peers=['p=' + peer.address]) as relay, relay.client() as client:
        until(lambda: relay.nodes()['p'].state != UNAVAILABLE)
        before = peer.calls
        # It says the same to all calls; what the relay makes of that is not the question.
        for _ in range(5):
            list(client.GetFlows(number=wire.ALL, first=True))
        assert peer.calls >= before + 5
        assert peer.pings == 0


def test_two_peers_at_one_address_have_a_connection_each():
    with half_server.Server() as peer, Relay(peers=['p=' + peer.address, 'q=' + peer.address]) as relay:
        until(lambda: len(peer.connections) == 2)
        until(lambda: all(n.state != UNAVAILABLE for n in relay.nodes().values()))
        peer.connections[0].shutdown(socket.SHUT_RDWR)  # the other one does not notice
        until(lambda: len(peer.connections) == 3)


def test_clients_that_do_not_read_cost_no_more_than_their_share_of_memory():
    """The nodes hold some 26 MB for each."""
    request = wire.GetFlowsRequest(number=wire.ALL, first=True).SerializeToString()
    flows = {n: [of(n, i // 25, Summary=16 * long(i)) for i in range(600)] for n in 'abc'}
    with cluster(**flows) as (relay, _), relay.client() as client, contextlib.ExitStack() as stuck:
        grown = []
        # Two more in each round: each has a queue of 4 MiB and, of each node, 256 KiB held, a window, and a message. What they do not
        # cost, but allocators and sanitizers keep for themselves, is not taken in every round.
        while not grown or (grown[-1] >= 32 * 1024 and len(grown) < 4):
            kib = resident_kib(relay.process)
            for path in '/observer.Observer/GetFlows', '/tycho.v1.Flows/GetFlowBatches':
                stuck.enter_context(half_http2.Stuck(relay.address, path, request))
            assert len(list(client.GetFlows(number=wire.ALL, first=True))) == 1 + 1800
            grown.append(resident_kib(relay.process) - kib)
        assert grown[-1] < 32 * 1024, grown


def test_a_peer_service_that_is_frozen_is_found_out_and_its_peers_stay():
    """Half open: the connection stands and nobody is behind it."""
    with Node('service', lines=[of('service', 0)], listen=['127.0.0.1:0']) as service:
        with Relay('--peer-service', service.tcp, '--peer-timeout', '1s', '--peer-interval', '1s') as relay:
            until(lambda: 'service' in relay.nodes())
            service.freeze()
            try:
                until(lambda: 'peer service is away; its peers stay' in relay.log())
                assert 'service' in relay.nodes()
            finally:
                service.thaw()
            until(lambda: 'peer service is back' in relay.log())
            assert 'service' in relay.nodes()


def test_a_node_that_speaks_is_not_dead_however_late_it_says_how_it_is():
    checks = []

    def answer(path, request, context):
        if path.endswith('/Check'):
            checks.append(path)
            busy.stopping.wait(LONG_S)
        for i in itertools.count():
            if path != GET_FLOWS or not context.is_active() or busy.stopping.wait(0.02):
                return
            yield response('busy', i, 'busy-%d' % i)
    with Impostor(answer) as busy, Relay('--peer-interval', '1s', peers=['busy=' + busy.address], timeout='2s') as relay:
        with relay.client() as client:
            stream = client.GetFlows(follow=True, since={'seconds': 0})
            while len(checks) < 3:  # each has waited in vain for the one before
                next(stream)
            stream.cancel()
    assert busy.paths.count(GET_FLOWS) == 1


def test_a_node_that_a_question_waits_for_in_vain_is_asked_at_once_whether_it_lives():
    with Node('n') as node, Relay('--peer-interval', '1h', peers=[node.peer], drain='200ms', timeout='1s') as relay:
        relay.wait_states(n=CONNECTED)
        node.freeze()
        try:
            until(lambda: relay.nodes()['n'].state and 'peer does not answer, connecting anew' in relay.log())
        finally:
            node.thaw()
        relay.wait_states(n=CONNECTED)
