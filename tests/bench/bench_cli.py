#!/usr/bin/python3
"""bench_cli.py [--reference PATH/TO/hubble] - the CLI by itself: how soon it is there, and how fast it reads a file of recorded
flows; beside the reference's, if that is given, in turns with it."""
import argparse
import os
import re
import subprocess
import tempfile
import time

from observers import BIN, REAL_FLOWS, at_least, at_most, figure

STARTS, ROUNDS, REPEAT = 30, 5, 200
START_BUDGET_MS = 10
# Ten times the reference CLI (1.19.4), which took 4.6 s and 7.5 s for this file.
BUDGETS = {'compact': 10 / 4.6, 'json': 10 / 7.5}


def best_s(rounds, *programs):
    """The shortest time of each command, in turns."""
    best = [float('inf')] * len(programs)
    for _ in range(rounds):
        for n, argv in enumerate(programs):
            start = time.monotonic()
            subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
            best[n] = min(best[n], time.monotonic() - start)
    return best


def with_other_flows(flows, n):
    """Copy n of the file, in which no line is one of another copy: UUIDs, times and ports differ."""
    flows = re.sub(rb'"uuid":"[0-9a-f]{8}', b'"uuid":"%08x' % n, flows)
    flows = re.sub(rb'("time":"[^"]{14})[0-9]{2}:[0-9]{2}', rb'\g<1>%02d:%02d' % divmod(n, 60), flows)
    return re.sub(rb'("(?:source|destination)_port":)([0-9]+)',
                  lambda m: m[1] + b'%d' % ((int(m[2]) + 331 * n) % 65536), flows)


def measure(tycho, reference, what, copies, lines):
    with tempfile.NamedTemporaryFile(prefix='tycho-bench-') as f:
        for copy in copies:
            f.write(copy)
        f.flush()
        os.fsync(f.fileno())  # or the kernel writes it out meanwhile
        for form, per_s in BUDGETS.items():
            argv = ['observe', '--input-file', f.name, '-o', form]
            took, *beside = best_s(ROUNDS, *([program] + argv for program in [tycho] + reference))
            at_least('tycho observe --input-file -o %s%s' % (form, what), lines / took, '/s', lines * per_s)
            for theirs in beside:
                figure('the same by the reference', lines / theirs, '/s')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--reference', nargs=1, default=[], metavar='PATH', help="Hubble's command line, to be measured, too")
    reference = parser.parse_args().reference
    tycho = os.path.join(BIN, 'tycho')
    started, *beside = best_s(STARTS, *([program, 'version'] for program in [tycho] + reference))
    at_most('tycho version', 1000 * started, 'ms', START_BUDGET_MS)
    for theirs in beside:
        figure('the same by the reference', 1000 * theirs, 'ms')
    with open(REAL_FLOWS, 'rb') as f:
        flows = f.read()
    lines = REPEAT * flows.count(b'\n')
    measure(tycho, reference, '', (flows for _ in range(REPEAT)), lines)
    measure(tycho, reference, ', copies that differ', (with_other_flows(flows, n) for n in range(REPEAT)), lines)


if __name__ == '__main__':
    main()
