#!/usr/bin/python3
"""bench_traffic.py [--quick] - what traffic over a veth pays for being observed.

A TCP stream, and one byte there and back, without and with an observer on the interface, in turns and close together: what
others take of the machine then hits both; both ends also run before all others, at nice -20. Each round gives a ratio; the
figure is the median of the rounds. In each round there is also a program that does nothing in the observer's place: how far
from 1 that comes is what such a run cannot tell. Where that is too much, two others still say what it is about: the same
ratio by the CPU time that both ends took for a byte or a turn, and the kernel's own account of the time spent in the
observer's programs.
"""
import argparse
import os
import resource
import statistics
import subprocess

from observers import BIN, Observer, Pair, at_least, figure, on_cpu, sh

ROUNDS, SECONDS = 9, 2
QUICK_ROUNDS, QUICK_SECONDS = 3, 1
RETURN_NOTHING = '1,6 0 0 0'  # classic BPF: no class is found, the packet goes on
SCHED_CLS = '3'  # enum bpf_prog_type
THERE, PORT = '10.9.0.2', 7000
TALK = os.path.join(BIN, 'traffic_talk')
# what is said, how it is shown, part of the unobserved rate that must be left
KINDS = {'stream': ('TCP stream', 8e-9, 'Gbit/s', 0.97), 'rr': ('request/response', 1e-3, '1000/s', 0.95)}


def talk(cpu, inside, *args):
    return on_cpu(cpu, ['nice', '-n', '-20'] + inside + [TALK] + [str(a) for a in args])


class Server:
    def __init__(self, pair):
        self.process = subprocess.Popen(talk(1, pair.inside(pair.there), 'serve', THERE, PORT), stdout=subprocess.PIPE,
                                        text=True)
        if self.process.stdout.readline() != 'ready\n':
            raise RuntimeError('traffic_talk does not listen')

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()

    def cpu_s(self):
        with open('/proc/%d/schedstat' % self.process.pid) as f:
            return int(f.read().split()[0]) / 1e9


def run(pair, server, kind, seconds):
    """Bytes or turns a second, and how many of them a second of CPU time was enough for."""
    def cpu_s():
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)  # the client, once it has
        return ended.ru_utime + ended.ru_stime + server.cpu_s()

    before = cpu_s()
    rate = float(sh(*talk(0, pair.inside(pair.here), kind, THERE, PORT, seconds)))
    return rate, rate * seconds / (cpu_s() - before)


def run_plain(pair, server, seconds):
    return {kind: run(pair, server, kind, seconds) for kind in KINDS}


def run_beside_nothing(pair, server, seconds):
    tc = 'tc -n %s %%s dev %s %%s' % (pair.here, pair.dev)
    sh(tc % ('qdisc add', 'clsact'))
    try:
        for way in 'ingress', 'egress':
            sh(*(tc % ('filter add', way + ' bpf bytecode')).split(), RETURN_NOTHING)
        return run_plain(pair, server, seconds)
    finally:
        sh(tc % ('qdisc del', 'clsact'))


def run_observed(pair, server, seconds):
    with Observer('--interface', pair.dev, prefix=pair.inside(pair.here)):
        return run_plain(pair, server, seconds)


def programs_of(pid):
    """What the kernel tells of the programs for tc that a process holds."""
    folder = '/proc/%d/fdinfo' % pid
    for fd in os.listdir(folder):
        with open(os.path.join(folder, fd)) as f:
            told = dict(line.split()[:2] for line in f if len(line.split()) == 2)
        if told.get('prog_type:') == SCHED_CLS:
            yield int(told['run_time_ns:']), int(told['run_cnt:'])


def in_programs(pair, server, kind, seconds):
    """What the kernel says of the observer's programs during a run: their part of a core, and packets. The account has its
    own price, some 50 ns a packet, so nothing else is measured meanwhile."""
    with Observer('--interface', pair.dev, prefix=pair.inside(pair.here)) as observer:
        before = sh('sysctl -n kernel.bpf_stats_enabled').strip()
        sh('sysctl -qw kernel.bpf_stats_enabled=1')
        try:
            run(pair, server, kind, seconds)
            ns, packets = map(sum, zip(*programs_of(observer.process.pid)))
        finally:
            sh('sysctl -qw kernel.bpf_stats_enabled=' + before)
    return ns / 1e9 / seconds, packets


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='fewer and shorter runs: to see that it works')
    quick = parser.parse_args().quick
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    ways = [run_plain, run_beside_nothing, run_observed]
    came, inside = {way: [] for way in ways}, {}
    with Pair('traffic') as pair:
        sh('ip -n %s addr add %s/24 dev %s' % (pair.there, THERE, pair.dev))
        with Server(pair) as server:
            for n in range(rounds):
                # Which comes first changes, or a machine that grows slower would count for the first.
                for i in range(len(ways)):
                    way = ways[(n + i) % len(ways)]
                    came[way].append(way(pair, server, seconds))
            for kind in KINDS:
                inside[kind] = in_programs(pair, server, kind, seconds)

    def ratios(way, kind, by):
        return sorted(o[kind][by] / p[kind][by] for o, p in zip(came[way], came[run_plain]))
    for kind, (what, factor, unit, budget) in KINDS.items():
        by_time, nothing = (ratios(way, kind, 0) for way in (run_observed, run_beside_nothing))
        figure('%s, not observed' % what, factor * statistics.median(p[kind][0] for p in came[run_plain]), unit)
        at_least('%s: observed to not observed' % what, statistics.median(by_time), '', budget)
        figure('the same: lowest of %d rounds' % rounds, by_time[0], '')
        figure('the same: highest', by_time[-1], '')
        figure('the same of a program that does nothing', statistics.median(nothing), '')
        figure('the same of it: lowest', nothing[0], '')
        figure('the same of it: highest', nothing[-1], '')
        figure('the same: by CPU time', statistics.median(ratios(run_observed, kind, 1)), '')
        part, packets = inside[kind]
        figure('the same: time in the programs, %d packets' % packets, 100 * part, '% of a core')


if __name__ == '__main__':
    main()
