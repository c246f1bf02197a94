#!/usr/bin/python3
"""bench_hubble.py --reference DIR [--only PART]… [--markdown] [--picture FILE] - what Cilium's own code takes for what our benchmarks measure, beside ours.

DIR holds the programs of tests/oracle (tests/oracle/build makes them from a checkout of Cilium): `cost`, which runs Cilium's
parser, filters, metrics and exporter over the events and flows that our benchmarks write into files, and Hubble's own `server` and
`relay`. Both sides run in turns; the best of all turns counts. It is no part of tests/bench/run, because it needs Cilium's
sources.
"""
import argparse
import contextlib
import os
import re
import subprocess
import tempfile
import time

import picture_beside
from bench_relay import Relay, Sim, cpu_during, read
from observers import BIN, REAL_FLOWS, Observer, figure, on_cpu, sh

TURNS, READINGS = 5, 15
RING = 65535  # the most that Hubble's can have
PEER_PORT = 14244
COUNT, RATE, SECONDS = 1000, 100, 10
INTERVAL_S = 20  # our --peer-interval: by then each observer has been asked whether it lives
# part of `cost`, our program, and the words of figures of both (ours may have more)
PARTS = [
    ('events', 'bench_cilium', ['an event']),
    ('filter', 'bench_filter', ['port and protocol', 'five ports', 'verdict', 'label selector', 'prefix']),
    ('metrics', 'bench_metrics', ['a flow, six metrics', 'a flow, six metrics by namespace and workload']),
    ('export', 'bench_export', ['flows written whole', 'masked to six fields', 'filtered away', 'counted by namespaces']),
]


# what `beside` was told: (what, ours, theirs, unit, times)
ROWS = []
# of them in the picture, with its words
PICTURED = [
    ('an event', 'an event decoded, named, appended'),
    ('label selector', 'a flow held against a label selector'),
    ('a flow, six metrics', 'a flow counted by six metrics'),
    ('flows written whole', 'a flow exported as a line of JSON'),
    ('a ring of 65,535 recorded flows: memory', 'memory with 65,535 flows in the ring'),
    ("GetFlows over unix: server's CPU a flow", 'a flow answered: server\'s CPU time'),
    ("three observers merged by a relay: relay's CPU a flow", 'a flow merged from three nodes: relay\'s CPU time'),
    ('1000 observers, --last 20 of each: the last', '--last 20 of a thousand nodes: answered after'),
]


def measured(*argv):
    """[(what, how much, unit)] that a program printed."""
    return [(f[1], float(f[2]), f[3]) for f in (line.split('\t') for line in sh(*argv).splitlines()) if f[0] == 'figure']


def named(figures, name):
    """The figure of this name: what is behind a comma or colon that is not the name's is how many were found."""
    for what, value, unit in figures:
        if re.match(re.escape(name) + r'( \(.*\)|, \d+ of \d+ found|:.*|\'s:.*| of Cilium\'s:.*)?$', what):
            return value, unit
    raise RuntimeError('no figure %r among %s' % (name, [f[0] for f in figures]))


def beside(what, mine, other, unit, more_is_better=False):
    times = mine / other if more_is_better else other / mine
    ROWS.append((what, mine, other, unit, times))
    figure(what, mine, unit)
    figure('the same by Cilium', other, unit)
    figure('times', times, '')


def with_unit(value, unit):
    for large, small, divisor in (('µs', 'ns', 1000), ('s', 'ms', 1000)):
        if unit.split(' ')[0] == small and value >= 10 * divisor:
            value, unit = value / divisor, large
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return '{:,.{}f}'.format(value, digits) + ('' if not unit or unit[0] == '/' else ' ') + unit.split(' ')[0]


def picture(about):
    found = {row[0]: row for row in ROWS}
    rows = [(words, found[what]) for what, words in PICTURED if what in found]
    return picture_beside.draw([(words, row[4], with_unit(row[1], row[3]), with_unit(row[2], row[3])) for words, row in rows], about)


def table():
    return '\n'.join(['| what | Hubble | Tycho | times |', '| --- | ---: | ---: | ---: |'] + [
        '| %s | %s | %s | %.3g |' % (what, with_unit(other, unit), with_unit(mine, unit), times)
        for what, mine, other, unit, times in ROWS])


def in_turns(part, ours, names, reference, folder):
    program, file = os.path.join(BIN, ours), os.path.join(folder, part)
    sh(program, 'dump', file)
    best = {}
    for _ in range(TURNS):
        for side, figures in (('ours', measured(program)), ('theirs', measured(reference, part, file))):
            for name in names:
                value, unit = named(figures, name)
                best[side, name] = min(value, best.get((side, name), (value,))[0]), unit
    for name in names:
        (mine, unit), (other, _) = best['ours', name], best['theirs', name]
        beside(name, mine, other, unit)


# --- servers ---------------------------------------------------------------------------------------------------------

class Hubble:
    """A program of tests/oracle that serves; ended when the `with` ends."""
    cpu_s, rss_mib = Observer.cpu_s, Observer.rss_mib

    def __init__(self, *argv, cpu):
        r, w = os.pipe()
        self.process = subprocess.Popen(on_cpu(cpu, list(argv) + ['--ready-fd', str(w)]), pass_fds=(w,), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        os.close(w)
        with os.fdopen(r) as ready:
            words = ready.readline().split()
        if words[:1] != ['ready']:
            raise RuntimeError('%s did not start' % argv[0])
        self.address = words[1]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()  # the relay waits for its peers when asked to end, and none has anything to lose
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def fill(self, flows, times):
        for _ in range(times):
            self.process.stdin.write(flows)
        self.process.stdin.write(b'{"sync": 1}\n')
        self.process.stdin.flush()
        if self.process.stdout.readline() != b'synced 1\n':
            raise RuntimeError('the reference did not take the flows')


def getflows(server, address):
    """(flows/s, the server's CPU time a flow in ns) of one reading of the whole ring."""
    before = server.cpu_s()
    out = sh(*on_cpu(1, [os.path.join(BIN, 'bench_getflows'), address, '1', 'GetFlows']))
    spent = server.cpu_s() - before
    flows = int(re.search(r', (\d+) flows', out).group(1))
    return float(out.split('\t')[2]), 1e9 * spent / flows


def best_of(readings):
    """Of (flows/s, CPU time a flow)."""
    return max(r[0] for r in readings), min(r[1] for r in readings)


def servers(reference, folder):
    """One ring of 65,535 flows recorded on real clusters, on one CPU; a client that counts on the other."""
    with open(REAL_FLOWS, 'rb') as f:
        flows = f.read()
    times = RING // flows.count(b'\n') + 1
    with Observer('--no-bpf', '--replay', REAL_FLOWS, '--replay-repeat', str(times), '--ring-capacity', str(RING), '--store', 'off',
                  prefix=on_cpu(0, [])) as ours, \
            Hubble(os.path.join(reference, 'server'), '--listen', 'unix://' + os.path.join(folder, 's.sock'), '--capacity', str(RING),
                   cpu=0) as theirs:
        ours.wait_for_replay()
        theirs.fill(flows, times)
        beside('a ring of 65,535 recorded flows: memory', ours.rss_mib(), theirs.rss_mib(), 'MiB')
        turns = [(getflows(ours, ours.unix), getflows(theirs, theirs.address)) for _ in range(READINGS)]
        mine, other = best_of([t[0] for t in turns]), best_of([t[1] for t in turns])
        beside('GetFlows over unix', mine[0], other[0], '/s', more_is_better=True)
        beside('GetFlows over unix: server\'s CPU a flow', mine[1], other[1], 'ns')
        beside('GetFlows over unix: memory', ours.rss_mib(), theirs.rss_mib(), 'MiB')


@contextlib.contextmanager
def hubble_relay(reference, addresses):
    """Hubble's relay, with peers of these names and addresses, all on PEER_PORT; the service that tells it of them is its server."""
    with Hubble(os.path.join(reference, 'server'), '--listen', '127.0.0.1:%d' % (PEER_PORT + 1), '--peer-port', str(PEER_PORT),
                cpu=1) as peers:
        for name, ip in addresses:
            peers.process.stdin.write(b'{"peer": {"Do": "add", "Name": "%s", "IP": "%s"}}\n' % (name.encode(), ip.encode()))
        peers.process.stdin.flush()
        with Hubble(os.path.join(reference, 'relay'), '--peer-service=127.0.0.1:%d' % (PEER_PORT + 1), '--disable-client-tls',
                    '--disable-server-tls', '--listen-address=127.0.0.1:%d' % (PEER_PORT + 2), cpu=0) as relay:
            yield relay


def merged(relay):
    """(flows/s, the relay's CPU time a flow in ns, flows out of order) of one reading of everything."""
    before = relay.cpu_s()
    r = read(relay.address, 'standard', 'all', cpu=None)
    return r['flows'] / r['s'], 1e9 * (relay.cpu_s() - before) / r['flows'], r['late']


def three(reference, folder):
    """The rings of three of our observers, merged: they have one CPU, the relay the other, the reader runs where there is room."""
    with contextlib.ExitStack() as stack:
        observers = [stack.enter_context(Observer('--no-bpf', '--replay', REAL_FLOWS, '--replay-repeat', '128', '--ring-capacity',
                                                  '131071', '--store', 'off', '--listen', '127.0.0.%d:%d' % (n + 2, PEER_PORT),
                                                  '--node-name', 'n%d' % n, prefix=on_cpu(1, []))) for n in range(3)]
        for observer in observers:
            observer.wait_for_replay()
        theirs = stack.enter_context(hubble_relay(reference, [('n%d' % n, '127.0.0.%d' % (n + 2)) for n in range(3)]))
        ours = stack.enter_context(Relay(peers=['n%d=%s\n' % (n, o.tcp) for n, o in enumerate(observers)]))
        for relay in (ours, theirs):
            Relay.wait_connected(relay, 3)
        turns = [(merged(ours), merged(theirs)) for _ in range(TURNS)]
        mine, other = best_of([t[0] for t in turns]), best_of([t[1] for t in turns])
        beside('three observers merged by a relay', mine[0], other[0], '/s', more_is_better=True)
        beside('three observers merged by a relay: relay\'s CPU a flow', mine[1], other[1], 'ns')
        figure('the same: out of order', max(t[0][2] for t in turns), 'flows')
        figure('the same by Cilium: out of order', max(t[1][2] for t in turns), 'flows')
        beside('three observers merged by a relay: its memory', ours.rss_mib(), theirs.rss_mib(), 'MiB')


def many(reference, folder):
    """A thousand simulated observers with 100 flows a second each on one CPU, with the reader; the relay on the other."""
    with Sim(COUNT, RATE, PEER_PORT) as sim:
        addresses = [line.strip().rpartition(':')[0].split('=') for line in sim.peers]
        mine = burden(lambda: Relay(peers=sim.peers))
        other = burden(lambda: hubble_relay(reference, addresses))
    for what, unit, more_is_better in (('idle', '% of a core', False), ('memory', 'MiB', False),
                                       ('--last 20 of each: the first', 's', False), ('--last 20 of each: the last', 's', False),
                                       ('all followed', '/s', True), ('all followed: CPU a flow', 'ns', False),
                                       ('all followed: memory', 'MiB', False)):
        beside('%d observers, %s' % (COUNT, what), mine[what], other[what], unit, more_is_better)
    for what in ('--last 20 of each: out of order', 'all followed: out of order'):
        figure('%d observers, %s' % (COUNT, what), mine[what], '%')
        figure('the same by Cilium', other[what], '%')


def burden(open_relay):
    """What a relay takes for COUNT observers, by the names that `many` has for it."""
    with open_relay() as relay:
        Relay.wait_connected(relay, COUNT)
        time.sleep(2)  # connections settle; this is no test
        _, idle = cpu_during(relay, lambda: time.sleep(INTERVAL_S))
        ret = {'idle': 100 * idle, 'memory': relay.rss_mib()}
        r = read(relay.address, 'standard', 'last', 20)
        ret['--last 20 of each: the first'], ret['--last 20 of each: the last'] = r['first_s'], r['s']
        ret['--last 20 of each: out of order'] = 100 * r['late'] / r['flows']
        before = relay.cpu_s()
        r = read(relay.address, 'standard', 'follow', 0, SECONDS)
        ret['all followed'], ret['all followed: CPU a flow'] = r['flows'] / r['s'], 1e9 * (relay.cpu_s() - before) / r['flows']
        ret['all followed: out of order'], ret['all followed: memory'] = 100 * r['late'] / r['flows'], relay.rss_mib()
        return ret


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--reference', required=True, metavar='DIR', help='where tests/oracle/build put its programs')
    parser.add_argument('--only', action='append', choices=[p[0] for p in PARTS] + ['servers', 'three', 'many'], help='this part (repeatable)')
    parser.add_argument('--markdown', action='store_true', help='print a table, too')
    parser.add_argument('--picture', metavar='FILE', help='draw the most telling of them, too, as SVG')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='tycho-bench-') as folder:
        for part, ours, names in PARTS:
            if not args.only or part in args.only:
                in_turns(part, ours, names, os.path.join(args.reference, 'cost'), folder)
        for part in (servers, three, many):
            if not args.only or part.__name__ in args.only:
                part(args.reference, folder)
    if args.markdown:
        print(table())
    if args.picture:
        with open(args.picture, 'w') as f:
            f.write(picture('best of %d turns on one machine, the same input; %s' % (TURNS, os.uname().machine)))


if __name__ == '__main__':
    main()
