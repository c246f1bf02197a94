#!/usr/bin/python3
"""A relay over a thousand simulated observers (relay_sim.c), and over three real ones; read by relay_reader.c.

Memory and CPU time are the relay's own, from /proc, so they do not depend on who else is busy on the machine. The simulated
observers and the reader have the other CPUs; three real ones have one CPU, the relay the other, and the reader runs where there is
room.
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from observers import BIN, REAL_FLOWS, Observer, at_least, at_most, figure, on_cpu

COUNT, RATE = 1000, 100
SECONDS = 10
INTERVAL_S = 20  # --peer-interval: by then each peer has been asked whether it lives
RING, REPEAT = 524287, 256


class Sim:
    def __init__(self, count, rate, *port):
        self.process = subprocess.Popen(on_cpu(1, [os.path.join(BIN, 'relay_sim'), str(count), str(rate), *map(str, port)]),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.peers = []
        for line in self.process.stdout:
            if line == 'ready\n':
                break
            self.peers.append(line)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.stdin.close()
        self.process.wait(60)


class Relay:
    def __init__(self, *options, peers):
        self.folder = tempfile.TemporaryDirectory(prefix='tycho-bench-')
        path = os.path.join(self.folder.name, 'peers')
        with open(path, 'w') as f:
            f.writelines(peers)
        r, w = os.pipe()
        self.log = open(os.path.join(self.folder.name, 'log'), 'wb')
        self.process = subprocess.Popen(
            on_cpu(0, [os.path.join(BIN, 'tycho-relay'), '--peers-file', path, '--listen', '127.0.0.1:0', '--ready-fd', str(w)]
                   + list(options)), pass_fds=(w,), stderr=self.log)
        os.close(w)
        with os.fdopen(r) as ready:
            words = ready.readline().split()
        if words[:1] != ['ready']:
            raise RuntimeError('the relay did not start')
        self.address = words[1]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.log.close()
        self.folder.cleanup()

    cpu_s, rss_mib = Observer.cpu_s, Observer.rss_mib

    def wait_connected(self, count):
        while True:
            out = subprocess.run([os.path.join(BIN, 'tycho'), '--server', self.address, 'status', '-o', 'json'],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
            m = re.search(r'"num_connected_nodes":(\d+)', out)
            if m and int(m.group(1)) == count:
                return


def read(address, how, what, number=0, seconds=0, wait=True, cpu=1):
    """cpu None: where there is room."""
    argv = [os.path.join(BIN, 'relay_reader'), address, how, what, str(number), str(seconds)]
    p = subprocess.Popen(argv if cpu is None else on_cpu(cpu, argv), stdout=subprocess.PIPE, text=True)
    if not wait:
        return p
    return result(p)


def result(p):
    out = p.communicate(timeout=120)[0]
    if p.returncode != 0:
        raise RuntimeError('relay_reader: exit %d' % p.returncode)
    return {k: float(v) for k, v in (w.split('=') for w in out.split())}


def cpu_during(relay, fn):
    """(what fn returns, the relay's CPU time meanwhile in parts of a core)."""
    before, start = relay.cpu_s(), time.monotonic()
    r = fn()
    return r, (relay.cpu_s() - before) / (time.monotonic() - start)


def many():
    with Sim(COUNT, RATE) as sim, Relay(peers=sim.peers) as relay:
        relay.wait_connected(COUNT)
        time.sleep(2)  # connections settle; this is no test
        _, idle = cpu_during(relay, lambda: time.sleep(INTERVAL_S))
        at_most('%d observers: idle' % COUNT, 100 * idle, '% of a core', 2)
        figure('the same: memory', relay.rss_mib(), 'MiB')
        r = read(relay.address, 'standard', 'last', 20)
        at_most('--last 20 of each, %d flows: the first' % r['flows'], r['first_s'], 's', 2)
        figure('the same: the last', r['s'], 's')
        figure('the same: out of order', r['late'], 'flows')
        for how in ('standard', 'batched'):
            r, cpu = cpu_during(relay, lambda: read(relay.address, how, 'follow', 0, SECONDS))
            at_least('%d flows/s of each followed, %s' % (RATE, how), r['flows'] / r['s'], '/s', COUNT * RATE * 0.99)
            at_most('the same: CPU', cpu, 'cores', 1)
            figure('the same: out of order', 100 * r['late'] / r['flows'], '% of flows')
            figure('the same: at most', r['worst_ms'], 'ms')
        at_most('the same: memory', relay.rss_mib(), 'MiB', 1024)
        stuck = read(relay.address, 'standard', 'all', wait=False)
        time.sleep(1)
        stuck.send_signal(signal.SIGSTOP)
        r, cpu = cpu_during(relay, lambda: read(relay.address, 'standard', 'follow', 0, SECONDS))
        stuck.send_signal(signal.SIGCONT)
        at_least('beside a client that is stuck: followed', r['flows'] / r['s'], '/s', COUNT * RATE * 0.99)
        at_most('the same: memory', relay.rss_mib(), 'MiB', 1024)
        stuck.kill()
        stuck.wait()


def rate(r):
    return r['flows'] / r['s']


def best_of(address, how, rounds=5, **watched):
    """(the quickest reading of everything, {who: CPU time a flow in ns, the least of all rounds}); the reader is watched, too."""
    best, cpu_ns = None, {}
    for _ in range(rounds):
        before = {who: sum(p.cpu_s() for p in ps) for who, ps in watched.items()}
        r = read(address, how, 'all', cpu=None)
        spent = {who: sum(p.cpu_s() for p in ps) - before[who] for who, ps in watched.items()}
        spent['reader'] = r['cpu_s']
        for who, s in spent.items():
            cpu_ns[who] = min(cpu_ns.get(who, float('inf')), 1e9 * s / r['flows'])
        if not best or rate(r) > rate(best):
            best = r
    return best, cpu_ns


def rated(what, reading, budget, cpu_ns):
    if budget:
        at_least(what, rate(reading), '/s', budget)
    else:
        figure(what, rate(reading), '/s')
    for who, ns in cpu_ns.items():
        figure('the same: CPU a flow, %s' % who, ns, 'ns')


def three():
    observers = []
    try:
        for _ in range(3):
            o = Observer('--no-bpf', '--replay', REAL_FLOWS, '--replay-repeat', str(REPEAT), '--ring-capacity', str(RING),
                         '--store', 'off', prefix=on_cpu(1, []))
            o.wait_for_replay()
            observers.append(o)
        peers = ['n%d=%s\n' % (i, o.tcp) for i, o in enumerate(observers)]
        with Relay(peers=peers) as relay:
            relay.wait_connected(3)
            for how, budget, alone in (('standard', 500000, 700000), ('batched', None, None), ('packed', 2000000, 5000000)):
                direct, cpu_ns = best_of(observers[0].tcp, how, observer=observers[:1])
                rated('one observer, %s' % how, direct, alone, cpu_ns)
                merged, cpu_ns = best_of(relay.address, how, observers=observers, relay=[relay])
                rated('three observers, %s, %d flows of %d bytes' % (how, merged['flows'], merged['bytes']), merged, budget, cpu_ns)
                figure('the same: ratio to one observer read directly', rate(merged) / rate(direct), '')
                figure('the same: out of order', merged['late'], 'flows')
    finally:
        for o in observers:
            o.__exit__()


if __name__ == '__main__':
    parts = {'many': many, 'three': three}
    for name in sys.argv[1:] or parts:
        parts[name]()
