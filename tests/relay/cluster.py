"""A tycho-relay as a process of its own, real observers under it, and peers that misbehave."""
import contextlib
import json
import os
import queue
import signal
import threading
from concurrent import futures

import grpc

import wire
from daemon import Daemon, together, until
from observer import Observer, flow

CONNECTED, UNAVAILABLE, GONE, ERROR = 1, 2, 3, 4  # relay.NodeState
# A relay's patience with its nodes, so long that one which waits for a processor is not taken for dead. A test of what comes when
# patience ends gives it less.
DRAIN, TIMEOUT = '5s', '20s'


class Node(Observer):
    """An observer that can be ended and started again at the same address."""

    def __init__(self, name, *options, has_store=False, **kw):
        super().__init__(*options, **kw)
        self.name = name
        self.options += ['--node-name', name]  # the last one counts
        if not has_store:
            self.options += ['--store', 'off']

    def kill(self):
        self.process.kill()
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()

    def restart(self):
        return self.__enter__()

    def freeze(self):
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)  # until one thread has had its turn to stop the others, they go on

    def thaw(self):
        os.kill(self.pid, signal.SIGCONT)

    @property
    def peer(self):
        return '%s=%s' % (self.name, self.socket)


def of(node, i, **fields):
    """Flow number i (its second) as node saw it; uuid says which it is."""
    return flow(i, uuid='%s-%d' % (node, i), node_name=node, **fields)


def long(i):
    """900 characters, which no other flow has: packing does not make them fewer."""
    return '%06d' % i * 150


@contextlib.contextmanager
def nodes_of(has_store=False, **lines):
    """nodes_of(a=[…], b=[…]): nodes by name that have replayed these flows. None: the test feeds the node."""
    nodes = {name: Node(name, has_store=has_store, lines=ls) for name, ls in lines.items()}
    with together(*nodes.values()):
        for name, ls in lines.items():
            if ls:
                nodes[name].wait_seen(len(ls))
        yield nodes


def over(nodes, *options, **patience):
    """A relay over these nodes."""
    return Relay(*options, peers=[n.peer for n in nodes.values()], **patience)


@contextlib.contextmanager
def cluster(*options, drain=DRAIN, timeout=TIMEOUT, **lines):
    """Nodes, as nodes_of has them, and a relay over them."""
    with nodes_of(**lines) as nodes, over(nodes, *options, drain=drain, timeout=timeout) as relay:
        yield relay, nodes


class Relay(Daemon):
    """listen: set to address before it is started again, it comes back where it was."""
    program = 'tycho-relay'

    def __init__(self, *options, peers=(), listen='127.0.0.1:0', drain=DRAIN, timeout=TIMEOUT):
        super().__init__()
        self.options = ['--sort-buffer-drain-timeout', drain, '--peer-timeout', timeout, *options]
        self.peers, self.listen = peers, listen

    def argv(self):
        words = super().argv() + ['--node-name', 'the-relay', '--listen', self.listen, *self.options]
        for p in self.peers:
            words += ['--peer', p]
        return words

    @property
    def address(self):
        return self.addresses[0]

    def client(self, **kw):
        return wire.Client(self.address, **kw)

    def nodes(self):
        with self.client() as c:
            return {n.name: n for n in c.GetNodes().nodes}

    def wait_states(self, **states):
        """Until GetNodes says so of these nodes."""
        now = {}

        def is_so():
            now.update({name: n.state for name, n in self.nodes().items()})
            return all(now.get(name.replace('__', '/')) == state for name, state in states.items())
        until(is_so, fault=lambda: '%s, not %s: %s' % (now, states, self.log()))


class Follower:
    """A GetFlows call read by a thread of its own; what came is fetched in order."""

    def __init__(self, relay, **request):
        self.client = relay.client(fast=False)
        self.stream = self.client.GetFlows(timeout=120, follow=True, **request)
        self.came = queue.Queue()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            for r in self.stream:
                self.came.put(r)
            self.came.put(None)
        except grpc.RpcError as e:
            self.came.put(e)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stream.cancel()
        self.thread.join(20)
        self.client.close()

    def next(self):
        r = self.came.get(timeout=100)
        assert r is not None and not isinstance(r, grpc.RpcError), 'the stream ended: %r' % r
        return r

    def status(self):
        """The next message, which must be a node status: (state, names)."""
        r = self.next()
        assert r.HasField('node_status'), r
        return r.node_status.state_change, list(r.node_status.node_names)

    def flows(self, n):
        """The uuids of the next n flows; node status in between is for those who ask for it."""
        got = []
        while len(got) < n:
            r = self.next()
            if r.HasField('flow'):
                got.append(r.flow.uuid)
        return got

    def until_status(self, state, name):
        """Reads on until @name is said to be in @state; the uuids of the flows that came before."""
        got = []
        while True:
            r = self.next()
            if r.HasField('flow'):
                got.append(r.flow.uuid)
            elif r.node_status.state_change == state and name in r.node_status.node_names:
                return got


class Impostor:
    """A server that says of itself to be an observer: every call is answered by answer(path, request, context), a generator
    of bytes; context.abort ends the call. Like a Hubble agent it knows no tycho.v1, unless it is one of @ours."""

    def __init__(self, answer, options=(), ours=(), listen='127.0.0.1:0'):
        self.answer, self.ours, self.metadata, self.paths = answer, ours, {}, []
        self.server = grpc.server(futures.ThreadPoolExecutor(20), options=options)
        self.server.add_generic_rpc_handlers((self,))
        self.port = self.server.add_insecure_port(listen.replace('unix://', 'unix:'))
        self.address = listen if listen.startswith('unix:') else '127.0.0.1:%d' % self.port
        self.stopping = threading.Event()

    def service(self, details):
        if details.method.startswith('/tycho.') and details.method not in self.ours:
            return None

        def call(request, context):
            self.paths.append(details.method)
            self.metadata[details.method] = [(m.key, m.value) for m in details.invocation_metadata]
            yield from self.answer(details.method, request, context)
        return grpc.unary_stream_rpc_method_handler(call)

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *exc):
        self.stopping.set()
        self.server.stop(0).wait(20)


@contextlib.contextmanager
def standing_for(server, *ours, **kw):
    """A server that passes on the calls of Hubble's API, and of ours only these."""
    with wire.Client(server) as client:
        def answer(path, request, context):
            try:
                yield from client.raw(path, request, streams=True)
            except grpc.RpcError as e:
                if context.is_active():
                    context.abort(e.code(), e.details())
        with Impostor(answer, ours=ours, **kw) as impostor:
            yield impostor


def response(node, second, uuid):
    """A flow as an impostor sends it."""
    r = wire.GetFlowsResponse(node_name=node)
    r.flow.uuid, r.flow.node_name = uuid, node
    r.time.seconds = r.flow.time.seconds = second
    return r.SerializeToString()


def batch(*responses):
    """Such flows in one message, as our own observers send them."""
    return wire.message('tycho.v1.FlowBatch')(
        responses=[wire.GetFlowsResponse.FromString(r) for r in responses]).SerializeToString()


def unbatch(batches):
    return [r for b in batches for r in b.responses]


class Table:
    """What lib/flow/pack.h describes, read without it."""

    COST = 40

    def __init__(self, size):
        self.size, self.pieces = size, []  # the latest first

    def keep(self, piece):
        self.pieces.insert(0, piece)
        while sum(map(len, self.pieces)) + self.COST * len(self.pieces) > self.size:
            self.pieces.pop()

    def response(self, record):
        data, out = bytearray(record), b''
        flags = data.pop(0)
        assert flags < 8
        if flags & 2:
            varint(data)
        while data:
            head = varint(data)
            what, n = head & 3, head >> 2
            if what == 2:
                out += self.pieces[n]
                continue
            assert what < 2
            piece, data = bytes(data[:n]), data[n:]
            out += piece
            if what == 1:
                self.keep(piece)
        return None if flags & 4 else wire.GetFlowsResponse.FromString(out)


def varint(data):
    value = shift = 0
    while True:
        value |= (data[0] & 0x7f) << shift
        shift += 7
        if data.pop(0) < 0x80:
            return value


class Unpacker:
    """One call's batches, read as flows.proto describes them; of streams that nodes packed, in @names who they were."""

    def __init__(self, size, tables=0):
        self.own, self.tables, self.others, self.names = Table(size), tables, {}, []

    def begin(self, stream):
        self.others[stream.number] = Table(stream.table_bytes)
        self.names.append(stream.node_name)
        assert sum(t.size for t in self.others.values()) <= self.tables

    def run(self, data):
        data = bytearray(data)
        table = self.others[varint(data)]
        while data:
            n = varint(data)
            yield table.response(data[:n])
            data = data[n:]

    def fields(self, message):
        """The fields of one batch, in the order of the wire, which the parsed message has lost."""
        data = bytearray(message)
        while data:
            tag, n = varint(data), varint(data)
            assert tag & 7 == 2
            yield tag >> 3, bytes(data[:n])
            data = data[n:]

    def batch(self, message):
        for number, field in self.fields(message):
            if number == 1:
                yield wire.GetFlowsResponse.FromString(field)
            elif number == 2:
                yield self.own.response(field)
            elif number == 3:
                self.begin(wire.message('tycho.v1.PackedStream').FromString(field))
            else:
                assert number == 4
                yield from self.run(field)

    def unbatch(self, messages):
        return [r for m in messages for r in self.batch(m) if r is not None]


def split(responses):
    """(uuids of flows, [(state, names, message)])."""
    flows, states = [], []
    for r in responses:
        if r.HasField('flow'):
            flows.append(r.flow.uuid)
        elif r.HasField('node_status'):
            s = r.node_status
            states.append((s.state_change, list(s.node_names), s.message))
    return flows, states


def events(text):
    return [json.loads(line) for line in text.splitlines()]
