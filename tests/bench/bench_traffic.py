#!/usr/bin/python3
"""bench_traffic.py [--quick] - what traffic over a veth pays for being observed.

A TCP stream, and one byte there and back, without and with an observer on the interface, in turns and close together: what
others take of the machine then hits both; both ends also run before all others, at nice -20. Each pair of runs gives a
ratio; the figure is the median of the pairs. Where the machine is too busy for that, the kernel's own account of the time
spent in the observer's programs still says what it is about.
"""
import argparse
import os
import statistics
import subprocess

from observers import BIN, Observer, Pair, at_least, figure, on_cpu, sh

PAIRS, SECONDS = 9, 2
QUICK_PAIRS, QUICK_SECONDS = 3, 1
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


def run(pair, kind, seconds):
    return float(sh(*talk(0, pair.inside(pair.here), kind, THERE, PORT, seconds)))


def run_all(pair, seconds):
    return {kind: run(pair, kind, seconds) for kind in KINDS}


def run_observed(pair, seconds):
    with Observer('--interface', pair.dev, prefix=pair.inside(pair.here)):
        return run_all(pair, seconds)


def programs_of(pid):
    """What the kernel tells of the programs for tc that a process holds."""
    folder = '/proc/%d/fdinfo' % pid
    for fd in os.listdir(folder):
        with open(os.path.join(folder, fd)) as f:
            told = dict(line.split()[:2] for line in f if len(line.split()) == 2)
        if told.get('prog_type:') == SCHED_CLS:
            yield int(told['run_time_ns:']), int(told['run_cnt:'])


def in_programs(pair, kind, seconds):
    """What the kernel says of the observer's programs during a run: their part of a core, and packets. The account has its
    own price, some 50 ns a packet, so nothing else is measured meanwhile."""
    with Observer('--interface', pair.dev, prefix=pair.inside(pair.here)) as observer:
        before = sh('sysctl -n kernel.bpf_stats_enabled').strip()
        sh('sysctl -qw kernel.bpf_stats_enabled=1')
        try:
            run(pair, kind, seconds)
            ns, packets = map(sum, zip(*programs_of(observer.process.pid)))
        finally:
            sh('sysctl -qw kernel.bpf_stats_enabled=' + before)
    return ns / 1e9 / seconds, packets


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='fewer and shorter runs: to see that it works')
    quick = parser.parse_args().quick
    pairs, seconds = (QUICK_PAIRS, QUICK_SECONDS) if quick else (PAIRS, SECONDS)
    plain, observed, inside = [], [], {}
    with Pair('traffic') as pair:
        sh('ip -n %s addr add %s/24 dev %s' % (pair.there, THERE, pair.dev))
        with Server(pair):
            for n in range(pairs):
                # Which comes first changes, or a machine that grows slower would count for the first.
                for seen in (n % 2 == 0, n % 2 != 0):
                    (observed if seen else plain).append((run_observed if seen else run_all)(pair, seconds))
            for kind in KINDS:
                inside[kind] = in_programs(pair, kind, seconds)
    for kind, (what, factor, unit, budget) in KINDS.items():
        ratios = sorted(o[kind] / p[kind] for o, p in zip(observed, plain))
        figure('%s, not observed' % what, factor * statistics.median(p[kind] for p in plain), unit)
        at_least('%s: observed to not observed' % what, statistics.median(ratios), '', budget)
        figure('the same: lowest of %d pairs' % pairs, ratios[0], '')
        figure('the same: highest', ratios[-1], '')
        part, packets = inside[kind]
        figure('the same: time in the programs, %d packets' % packets, 100 * part, '% of a core')


if __name__ == '__main__':
    main()
