#!/usr/bin/python3
"""tycho-ui between a busy upstream and many pages: 500 workloads, 5,000 edges, flows as fast as an observer gives them.

The upstream (ui_sim.c) and the pages (ui_pages.c) are simulated, so that CPU time and memory here are tycho-ui's alone. Where this
machine is too busy for the rate, what is missing of it is added at what a flow costs with one page.
"""
import contextlib
import os
import re
import subprocess
import sys

from observers import BIN, at_least, at_most, figure, on_cpu

WORKLOADS, EDGES, SECONDS = 500, 5000, 10
RATE, CORES, MEMORY_MIB, TABLE_PER_S = 400000, 1, 128, 5000
TICKS_PER_S = os.sysconf('SC_CLK_TCK')


@contextlib.contextmanager
def upstream(rate, how):
    p = subprocess.Popen(on_cpu(1, [os.path.join(BIN, 'ui_sim'), str(WORKLOADS), str(EDGES), str(rate), how]),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield p.stdout.readline().split()[1]
    finally:
        p.stdin.close()
        p.wait(30)


class Ui:
    def __init__(self, server):
        r, w = os.pipe()
        self.process = subprocess.Popen(
            on_cpu(0, [os.path.join(BIN, 'tycho-ui'), '--server', server, '--listen', '127.0.0.1:0', '--ready-fd', str(w),
                       '--log-level', 'error']), pass_fds=(w,))
        os.close(w)
        with os.fdopen(r) as ready:
            self.port = ready.readline().rsplit(':', 1)[1].strip()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(30)

    def cpu_s(self):
        """Of threads that have ended, too."""
        with open('/proc/%d/stat' % self.process.pid) as f:
            fields = f.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def peak_mib(self):
        with open('/proc/%d/status' % self.process.pid) as f:
            return int(re.search(r'VmHWM:\s+(\d+) kB', f.read()).group(1)) / 1024


def watch(ui, pages):
    """What the pages saw, and the CPU time that it took."""
    p = subprocess.Popen(on_cpu(1, [os.path.join(BIN, 'ui_pages'), ui.port, str(pages), str(SECONDS)]),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if p.stderr.readline().strip() != 'counting':
        raise RuntimeError('ui_pages did not get its pages')
    before = ui.cpu_s()
    out = p.communicate(timeout=120)[0]
    return {k: int(v) for k, v in (w.split('=') for w in out.split())}, ui.cpu_s() - before


def measure(what, rate, how, pages, flow_s=None):
    """@flow_s: CPU time of a flow; None: what it is here, where nearly all of it is for flows."""
    with upstream(rate, how) as server, Ui(server) as ui:
        r, cpu_s = watch(ui, pages)
        if r['rows'] + r['left_out'] != r['flows'] or r['edges'] != EDGES or r['pages'] != pages:
            raise RuntimeError('%s: what came is not all there was: %s' % (what, r))
        came = r['flows'] / SECONDS
        flow_s = flow_s or cpu_s / r['flows']
        figure('%s: came' % what, came, ' flows/s')
        figure('the same: CPU', cpu_s / SECONDS, 'cores')
        at_most('the same: CPU at %d flows/s' % rate, cpu_s / SECONDS + max(0, rate - came) * flow_s, 'cores', CORES)
        at_most('the same: memory at its most', ui.peak_mib(), 'MiB', MEMORY_MIB)
        figure('the same: to pages', r['bytes'] / SECONDS / 1e6, 'MB/s')
        figure('the same: updates a page, the fewest', r['fewest'] / SECONDS, '/s')
        figure('the same: flow to page, at most', r['lag_ms'], 'ms')
        return r, flow_s


def main():
    _, flow_s = measure('one page', RATE, 'batched', 1)
    measure('300 pages', RATE, 'batched', 300, flow_s)
    measure('one page, of a server without batches', RATE, 'standard', 1)
    r, _ = measure('one page, %d flows/s' % TABLE_PER_S, TABLE_PER_S, 'batched', 1)
    at_least('the same: to the table', 100 * r['rows'] / r['flows'], '% of flows', 100)


if __name__ == '__main__':
    sys.exit(main())
