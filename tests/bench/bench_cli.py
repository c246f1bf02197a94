#!/usr/bin/python3
"""The CLI by itself: how soon it is there, and how fast it reads a file of recorded flows."""
import os
import subprocess
import tempfile
import time

from observers import BIN, REAL_FLOWS, at_least, at_most

STARTS, ROUNDS, REPEAT = 30, 5, 200
START_BUDGET_MS = 10
# Ten times the reference CLI (1.19.4), which took 4.6 s and 7.5 s for this file.
BUDGETS = {'compact': 10 / 4.6, 'json': 10 / 7.5}


def best_s(argv, rounds):
    best = float('inf')
    for _ in range(rounds):
        start = time.monotonic()
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
        best = min(best, time.monotonic() - start)
    return best


def main():
    tycho = os.path.join(BIN, 'tycho')
    at_most('tycho version', 1000 * best_s([tycho, 'version'], STARTS), 'ms', START_BUDGET_MS)
    with open(REAL_FLOWS, 'rb') as f:
        flows = f.read()
    lines = REPEAT * flows.count(b'\n')
    with tempfile.NamedTemporaryFile(prefix='tycho-bench-') as f:
        for _ in range(REPEAT):
            f.write(flows)
        f.flush()
        for form, per_s in BUDGETS.items():
            took = best_s([tycho, 'observe', '--input-file', f.name, '-o', form], ROUNDS)
            at_least('tycho observe --input-file -o %s' % form, lines / took, '/s', lines * per_s)


if __name__ == '__main__':
    main()
