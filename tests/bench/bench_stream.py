#!/usr/bin/python3
"""GetFlows from an observer that runs: flows a second on one stream, and what the CLI makes of it.

The ring is full of flows recorded on real clusters, with names, labels and layer 7. It is larger than usual, so that
it holds as many of these large ones as an ordinary ring holds of our own. Server and client have a CPU each: on a busy
machine the scheduler puts both on one.
"""
import os
import re
import subprocess
import time

from observers import BIN, REAL_FLOWS, Observer, figure, on_cpu, sh

RING, REPEAT = 262143, 128  # 1,025 flows each time
STREAMS, ROUNDS = 8, 3


def seconds(argv):
    """The quickest of some runs, its output thrown away but counted in lines first."""
    lines = sh(*argv).count('\n')
    best = float('inf')
    for _ in range(ROUNDS):
        start = time.monotonic()
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
        best = min(best, time.monotonic() - start)
    return best, lines


def getflows(observer, address, what, *masked):
    """The rate, and what the server pays: that does not depend on who else is busy here."""
    before = observer.cpu_s()
    out = sh(*on_cpu(1, [os.path.join(BIN, 'bench_getflows'), address, str(STREAMS), what, *masked]))
    cpu_s = observer.cpu_s() - before
    print(out, end='', flush=True)
    flows = STREAMS * int(re.search(r', (\d+) flows', out).group(1))
    figure('the same: server\'s CPU a flow', 1e9 * cpu_s / flows, 'ns')


def main():
    with Observer('--no-bpf', '--replay', REAL_FLOWS, '--replay-repeat', str(REPEAT),
                  '--ring-capacity', str(RING), prefix=on_cpu(0, [])) as observer:
        observer.wait_for_replay()
        getflows(observer, observer.unix, 'GetFlows over unix')
        getflows(observer, observer.tcp, 'GetFlows over TCP')
        getflows(observer, observer.unix, 'GetFlows with the CLI\'s mask', 'masked')
        print(sh(*on_cpu(1, [os.path.join(BIN, 'bench_upstream'), observer.unix, str(STREAMS), 'hubble source over unix'])),
              end='', flush=True)
        for form in ('compact', 'json'):
            best, lines = seconds(on_cpu(1, [os.path.join(BIN, 'tycho'), 'observe', '--all', '-o', form,
                                             '--server', observer.unix]))
            figure('tycho observe --all -o %s' % form, lines / best, '/s')


if __name__ == '__main__':
    main()
