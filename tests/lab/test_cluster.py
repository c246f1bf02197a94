"""Three nodes and a relay: whatever happens to a node in the middle of a query, what arrives is what was sent.

Every packet sent here is a datagram from a source port of its own, so it is one flow at each place that sees it; the flow
where it leaves its pod stands for it. Traffic is sent on each node in turn to a port that nobody else uses.
"""
import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time

import lab as L
import pytest


@pytest.fixture(scope='module')
def cluster():
    if os.geteuid() != 0:
        pytest.fail('the lab needs root: network namespaces and BPF (run sudo make test)')
    with L.Cluster(os.environ.get('TYCHO_LAB_PREFIX', 'tl-') + 'c-') as built:
        yield built


class Sent:
    """Datagrams, one source port each, from a pod of each node."""

    def __init__(self, cluster, port):
        self.cluster, self.port = cluster, port
        self.pods = {'lab/node1': cluster.cart, 'lab/node2': cluster.web, 'lab/node3': cluster.api}
        self.next = 10000
        self.ports = {}  # source port to the node that it is sent on

    def send(self, *nodes, n=20):
        """n datagrams on each node; their source ports."""
        new = []
        for node in nodes or self.pods:
            first = self.next
            self.next += n
            self.pods[node].call(send_from, '10.0.0.100', self.port, first, n)
            new += range(first, self.next)
            self.ports.update((p, node) for p in range(first, self.next))
        return new


def send_from(ip, port, first, n):
    for source in range(first, first + n):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(('', source))
        s.sendto(b'x', (ip, port))
        s.close()


class Follower:
    """`tycho observe --follow` through the relay; what it prints is read by a thread."""

    def __init__(self, relay, port, *flags):
        self.came, self.seen, self.states = queue.Queue(), [], []
        self.process = subprocess.Popen(
            [os.path.join(L.BIN, 'tycho'), '--server', relay.address, 'observe', '-o', 'json', '--follow', '--port', str(port),
             '--debug', *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:  # what is said of nodes goes to stderr
            if line.startswith('{'):
                self.came.put(json.loads(line))
        self.came.put(None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()

    def _take(self, what):
        try:
            event = self.came.get(timeout=L.PATIENCE_S)
        except queue.Empty:
            raise AssertionError('waited in vain for %s; %s, %s' % (what, self.states, self.seen[-5:]))
        assert event is not None, 'the command ended'
        if 'node_status' in event:
            s = event['node_status']
            self.states.append((s['state_change'], sorted(s.get('node_names', []))))
        elif leaves_its_pod(event['flow']):
            f = event['flow']
            self.seen.append((f['l4']['UDP']['source_port'], f['node_name']))

    def until(self, ports):
        """Until a flow of every one of @ports has come."""
        want = set(ports)
        while not want <= {p for p, _ in self.seen}:
            self._take('%d flows' % len(want - {p for p, _ in self.seen}))

    def until_state(self, state, node):
        while not any(s == state and node in names for s, names in self.states):
            self._take('%s of %s' % (state, node))

    def expect_exactly(self, sent, without=()):
        """Each datagram once, told by its own node, and no other."""
        assert sorted(self.seen) == sorted((p, n) for p, n in sent.ports.items() if p not in without)


def leaves_its_pod(flow):
    return flow.get('trace_observation_point') == 'FROM_ENDPOINT' and 'UDP' in flow.get('l4', {})


@pytest.fixture
def observers(cluster):
    made = {'lab/' + node.short: cluster.observer(node, '--interval', '500ms').start() for node in cluster.nodes}
    yield made
    for ob in made.values():
        if ob.process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid_of(ob), signal.SIGCONT)
            ob.stop()


@pytest.fixture
def relay(cluster, observers):
    r = cluster.relay('--peer-timeout', '2s', *[w for node in cluster.nodes for w in ('--peer', cluster.peer(node))]).start()
    wait_for(lambda: set(states(r).values()) == {'NODE_CONNECTED'})
    yield r
    assert r.stop() == 0


def tycho(relay, *args, check=True):
    return L.sh(os.path.join(L.BIN, 'tycho'), '--server', relay.address, *args, check=check)


def states(relay):
    listed = json.loads(tycho(relay, 'list', 'nodes', '-o', 'json'))
    return {n['name']: n['state'] for n in listed or []}


def wait_for(is_so):
    end = time.monotonic() + L.PATIENCE_S
    while not is_so():
        assert time.monotonic() < end


def pid_of(ob):
    """The observer's own process id: `ip netns exec` has become it."""
    return ob.process.pid


ports = iter(range(31000, 32000))


@pytest.fixture
def sent(cluster):
    return Sent(cluster, next(ports))


@pytest.fixture
def follower(relay, sent):
    with Follower(relay, sent.port) as f:
        f.until_state('NODE_CONNECTED', 'lab/node3')
        f.until(sent.send(n=1))  # the streams stand when their first flows have come
        yield f


def test_what_was_sent_on_three_nodes_arrives_once_and_in_order(relay, sent):
    for _ in range(3):
        sent.send()
    want = sorted((p, n) for p, n in sent.ports.items())

    def flows():
        out = tycho(relay, 'observe', '-o', 'json', '--all', '--port', str(sent.port))
        return [f for f in (json.loads(x).get('flow', {}) for x in out.splitlines()) if leaves_its_pod(f)]
    wait_for(lambda: len(flows()) >= len(want))
    got = flows()
    assert sorted((f['l4']['UDP']['source_port'], f['node_name']) for f in got) == want
    assert [f['time'] for f in got] == sorted(f['time'] for f in got)
    assert [f['l4']['UDP']['source_port'] for f in got] == sorted(sent.ports)  # sent one after the other


def test_a_follower_sees_everything_once(follower, sent):
    for _ in range(5):
        sent.send()
    follower.until(sent.ports)
    follower.expect_exactly(sent)


def test_a_killed_node_is_named_and_what_it_did_not_see_is_all_that_lacks(follower, observers, sent):
    follower.until(sent.send())
    assert observers['lab/node2'].stop(signal.SIGKILL) == -signal.SIGKILL
    follower.until_state('NODE_ERROR', 'lab/node2')
    unseen = sent.send('lab/node2')
    follower.until(sent.send('lab/node1', 'lab/node3'))
    follower.states.clear()
    observers['lab/node2'].start()
    follower.until_state('NODE_CONNECTED', 'lab/node2')
    follower.until(sent.send())
    follower.expect_exactly(sent, without=unseen)


def test_a_frozen_node_is_named_delays_nobody_and_catches_up_to_the_last_flow(follower, relay, observers, sent):
    follower.until(sent.send())
    os.kill(pid_of(observers['lab/node2']), signal.SIGSTOP)
    os.waitpid(pid_of(observers['lab/node2']), os.WUNTRACED)
    follower.until(sent.send('lab/node1', 'lab/node3'))  # while node2 says nothing, and nobody knows why
    sent.send('lab/node2')  # the kernel keeps them
    tycho(relay, 'observe', '--last', '1')  # who waits for an answer finds out
    follower.until_state('NODE_ERROR', 'lab/node2')
    follower.until(sent.send('lab/node1', 'lab/node3'))
    follower.states.clear()
    os.kill(pid_of(observers['lab/node2']), signal.SIGCONT)
    follower.until_state('NODE_CONNECTED', 'lab/node2')
    sent.send()
    follower.until(sent.ports)
    follower.expect_exactly(sent)


def test_a_node_that_is_cut_off_is_named_and_tells_all_it_saw_when_it_is_back(cluster, follower, relay, sent):
    def cut(rules):
        text = 'add table inet cut\ndelete table inet cut\n' + rules
        cluster.relay_ns.sh('nft', '-f', '-', input=text)
    follower.until(sent.send())
    cut('table inet cut {\nchain in {\ntype filter hook input priority 0;\nip saddr 10.0.0.2 drop\n}\n'
        'chain out {\ntype filter hook output priority 0;\nip daddr 10.0.0.2 drop\n}\n}\n')
    sent.send('lab/node2')
    follower.until(sent.send('lab/node1', 'lab/node3'))
    tycho(relay, 'observe', '--last', '1')
    follower.until_state('NODE_ERROR', 'lab/node2')
    wait_for(lambda: states(relay)['lab/node2'] != 'NODE_CONNECTED')
    follower.states.clear()
    cut('')
    follower.until_state('NODE_CONNECTED', 'lab/node2')
    sent.send()
    follower.until(sent.ports)
    follower.expect_exactly(sent)


def slow_down(ns):
    """Late and lossy where the kernel has netem, else narrow."""
    add = 'tc qdisc add dev eth0 root '
    try:
        ns.sh(add + 'netem delay 200ms 50ms loss 2%')
    except RuntimeError as e:
        assert 'kind is unknown' in str(e)
        ns.sh(add + 'tbf rate 2mbit burst 3000 limit 300000')


def test_a_slow_line_loses_nothing_and_keeps_history_in_order(cluster, follower, relay, sent):
    slow_down(cluster.node2)
    try:
        for _ in range(3):
            sent.send()
        follower.until(sent.ports)
        follower.expect_exactly(sent)
        out = tycho(relay, 'observe', '-o', 'json', '--all', '--port', str(sent.port))
        got = [f for f in (json.loads(x).get('flow', {}) for x in out.splitlines()) if leaves_its_pod(f)]
        assert [f['l4']['UDP']['source_port'] for f in got] == sorted(sent.ports)
    finally:
        cluster.node2.sh('tc', 'qdisc', 'del', 'dev', 'eth0', 'root')


def test_nodes_restarted_one_after_the_other_leave_no_flow_twice(follower, observers, sent):
    for name, ob in observers.items():
        follower.until(sent.send())
        follower.states.clear()
        assert ob.stop() == 0
        follower.until_state('NODE_ERROR', name)
        follower.states.clear()
        ob.start()
        follower.until_state('NODE_CONNECTED', name)
    follower.until(sent.send())
    follower.expect_exactly(sent)


def test_a_relay_over_dead_nodes_is_up_and_says_so(cluster, observers, relay):
    for ob in observers.values():
        ob.stop(signal.SIGKILL)
    wait_for(lambda: set(states(relay).values()) == {'NODE_UNAVAILABLE'})
    with Follower(relay, 1) as f:
        f.until_state('NODE_UNAVAILABLE', 'lab/node2')
        assert f.states == [('NODE_UNAVAILABLE', sorted(observers))]


# --- peers that a name service tells of -----------------------------------------------------------------------------


@pytest.fixture(scope='module')
def names(cluster):
    return L.Names(cluster)


def connected(relay):
    return sorted(n for n, s in states(relay).items() if s == 'NODE_CONNECTED')


def test_the_addresses_of_a_name_are_peers_as_they_come_and_go(cluster, names, observers):
    names.say(['10.0.0.1', '10.0.0.2'])
    r = cluster.relay('--peer-dns', 'observers.test:4244', '--peer-dns-interval', '200ms').start()
    try:
        wait_for(lambda: connected(r) == ['10.0.0.1:4244', '10.0.0.2:4244'])
        names.say(['10.0.0.3', '10.0.0.2'])
        wait_for(lambda: connected(r) == ['10.0.0.2:4244', '10.0.0.3:4244'])
        names.be_silent()  # no answer is no news
        wait_for(lambda: 'name service gives no answer; its peers stay' in r.log())
        assert connected(r) == ['10.0.0.2:4244', '10.0.0.3:4244']
        names.say([])
        wait_for(lambda: states(r) == {})
    finally:
        assert r.stop() == 0


def test_the_targets_of_srv_records_are_peers_by_their_names(cluster, names, observers):
    names.say(services=[('n1.test', 4244), ('n3.test', 4244)], n1='10.0.0.1', n3='10.0.0.3')
    r = cluster.relay('--peer-srv', '_grpc._tcp.observers.test', '--peer-dns-interval', '200ms').start()
    try:
        wait_for(lambda: connected(r) == ['n1.test', 'n3.test'])
        names.say(services=[('n3.test', 4244), ('n3.test', 4299), ('n2.test', 4244)], n2='10.0.0.2', n3='10.0.0.3')
        wait_for(lambda: connected(r) == ['n2.test', 'n3.test:4244'] and 'n3.test:4299' in states(r))
    finally:
        assert r.stop() == 0


def test_a_silent_name_service_keeps_nobody_waiting(cluster, names, observers):
    with contextlib.suppress(FileNotFoundError):
        names.be_silent()
    r = cluster.relay('--peer-dns', 'observers.test:4244', '--peer', cluster.peer(cluster.node1)).start()
    try:
        wait_for(lambda: connected(r) == ['lab/node1'])
    finally:
        assert r.stop() == 0
