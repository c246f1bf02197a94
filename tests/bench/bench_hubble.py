#!/usr/bin/python3
"""bench_hubble.py --reference DIR - what Cilium's own code takes for what our benchmarks measure, beside ours.

DIR holds the program `cost` of tests/oracle (tests/oracle/build makes it from a checkout of Cilium). Both sides get the same
events and flows, which our benchmarks write into files, and run in turns; the best of all turns counts. It is no part of
tests/bench/run, because it needs Cilium's sources.
"""
import argparse
import os
import re
import tempfile

from observers import BIN, figure, sh

TURNS = 5
# part of `cost`, our program, and the words of figures of both (ours may have more)
PARTS = [
    ('events', 'bench_cilium', ['an event']),
    ('filter', 'bench_filter', ['port and protocol', 'five ports', 'verdict', 'label selector', 'prefix']),
    ('metrics', 'bench_metrics', ['a flow, six metrics', 'a flow, six metrics by namespace and workload']),
    ('export', 'bench_export', ['flows written whole', 'masked to six fields', 'filtered away', 'counted by namespaces']),
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
        figure(name, mine, unit)
        figure('the same by Cilium', other, unit)
        figure('times', other / mine, '')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--reference', required=True, metavar='DIR', help='where tests/oracle/build put its programs')
    reference = os.path.join(parser.parse_args().reference, 'cost')
    with tempfile.TemporaryDirectory(prefix='tycho-bench-') as folder:
        for part, ours, names in PARTS:
            in_turns(part, ours, names, reference, folder)


if __name__ == '__main__':
    main()
