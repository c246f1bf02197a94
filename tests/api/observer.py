"""A tycho-observer that replays flows, as a process of its own; it needs no rights and no network but loopback."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import wire
from daemon import BIN, Daemon, until

SHARED = os.environ.get('TYCHO_SHARED', os.path.join(os.path.dirname(wire.ROOT), 'shared'))
GOLDEN = os.path.join(SHARED, 'golden')

BASE_S = 1_700_000_000  # 2023-11-14T22:13:20Z, where the time of our own flows begins


def golden(name):
    return os.path.join(GOLDEN, 'flows', name)


def stamp(i):
    """The recorded time of flow i: a second apart."""
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(BASE_S + i))


def flow(i, **fields):
    """Flow number i as a line to replay; uuid says which it is."""
    f = {'time': stamp(i), 'uuid': 'flow-%d' % i, 'verdict': 'FORWARDED',
         'IP': {'source': '10.0.0.1', 'destination': '10.0.0.2', 'ipVersion': 'IPv4'},
         'l4': {'TCP': {'source_port': 40000 + i % 1000, 'destination_port': 80, 'flags': {'SYN': True}}},
         'source': {'namespace': 'shop', 'pod_name': 'cart-0', 'identity': 4001, 'labels': ['k8s:app=cart']},
         'destination': {'namespace': 'store', 'pod_name': 'db-0', 'identity': 4002},
         'Type': 'L3_L4', 'node_name': 'n1', 'event_type': {'type': 4}, 'is_reply': False}
    f.update(fields)
    return json.dumps({'flow': f, 'node_name': f['node_name'], 'time': f['time']})


def numbers(flows):
    return [int(f.uuid[len('flow-'):]) for f in flows]


def own_sockets():
    n = 0
    for fd in os.listdir('/proc/self/fd'):
        with contextlib.suppress(FileNotFoundError):  # the one that lists the folder
            n += os.readlink('/proc/self/fd/' + fd).startswith('socket:')
    return n


class Observer(Daemon):
    """with Observer(path=…) or Observer(lines=[…]) as ob: serving while the block runs.

    lines=None, path=None: the test writes lines itself, with feed().
    """
    program = 'tycho-observer'

    def __init__(self, *options, path=None, lines=None, keep_time=True, listen=None, env=None):
        super().__init__()
        self.socket = 'unix://' + os.path.join(self.folder, 's.sock')
        self.options, self.env = list(options), env or {}
        if lines is not None:
            path = os.path.join(self.folder, 'flows.jsonl')
            with open(path, 'wb') as f:
                f.write(b''.join((x if isinstance(x, bytes) else x.encode()) + b'\n' for x in lines))
        self.path = path
        self.listen = listen if listen is not None else ['127.0.0.1:0', self.socket]
        if keep_time:
            self.options.append('--replay-keep-time')

    @property
    def stdin(self):
        return subprocess.PIPE if self.path is None else subprocess.DEVNULL

    def argv(self):
        words = super().argv() + ['--no-bpf', '--replay', self.path or '-', '--node-name', 'n0',
                                  '--state-dir', os.path.join(self.folder, 'state')]
        for address in self.listen:
            words += ['--listen', address]
        return words + self.options

    @property
    def tcp(self):
        return self.addresses[0]

    def restart(self, path=None, sig=signal.SIGTERM):
        """Ends it and starts it again on the same state; path: what it then replays, None: what feed() gives."""
        self.stop(sig)
        if self.process.stdin:
            self.process.stdin.close()
        self.path = path
        return self.__enter__()

    def feed(self, lines):
        self.process.stdin.write(''.join(x + '\n' for x in lines).encode())
        self.process.stdin.flush()

    def client(self, **kw):
        return wire.Client(self.tcp, **kw)

    def wait_seen(self, n):
        """Until n flows are in the log."""
        with self.client() as c:
            until(lambda: c.ServerStatus().seen_flows >= n,
                  fault=lambda: '%d of %d flows were read: %s' % (c.ServerStatus().seen_flows, n, self.log()))

    def wait_replayed(self):
        """Until all that there was to replay has been read."""
        def is_over():
            assert self.process.poll() is None, self.log()
            return 'msg="replay is over"' in self.log()
        until(is_over, fault=self.log)

    def fds(self):
        return len(os.listdir('/proc/%d/fd' % self.pid))

    def wait_fds(self, most=sys.maxsize, without_ours=False):
        """Until the process holds at most that many descriptors: it learns of a client's end a moment later.

        without_ours leaves out as many as this process has sockets open: grpcio lets go of some when it pleases.
        """
        held = []

        def are_few():
            c.ServerStatus()
            held.append(self.fds() - (own_sockets() if without_ours else 0))
            return held[-1] <= most

        with self.client() as c:
            until(are_few, fault=lambda: '%d file descriptors, at most %d expected' % (held[-1], most))
        return held[-1]


def tycho(*args, check=None, env=None, **kw):
    """The CLI; a finished process with text outputs. With check, its exit code must be that."""
    with tempfile.TemporaryDirectory(prefix='tycho-api-') as home:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(('TYCHO_', 'HUBBLE_')) and k != 'NO_COLOR'}
        clean.update({'HOME': home, 'XDG_CONFIG_HOME': home, 'LC_ALL': 'C.UTF-8', **(env or {})})
        p = subprocess.run([os.path.join(BIN, 'tycho')] + list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True, timeout=30, env=clean, **kw)
    assert check is None or p.returncode == check, '%s: exit %d: %s' % (' '.join(args), p.returncode, p.stderr)
    return p
