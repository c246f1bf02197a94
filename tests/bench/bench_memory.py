#!/usr/bin/python3
"""What an observer takes: resident memory idle and full, and what little it does at a quiet cluster's rate."""
import tempfile
import time

from observers import Observer, Pair, at_most, endpoints_file, figure

ENDPOINTS = 5000
QUIET_RATE, QUIET_S = 550, 20  # flows/s: what a node of an ordinary cluster sees
QUIET_RING = 4095              # the reference's default; full after eight seconds at this rate
FILL_S = 3


def main():
    with tempfile.TemporaryDirectory(prefix='tycho-bench-') as folder, Pair('memory') as pair:
        inside = pair.inside(pair.here)
        with Observer('--interface', pair.dev, prefix=inside) as observer:
            figure('idle', observer.rss_mib(), 'MiB')
        options = ('--interface', pair.dev, '--endpoints', endpoints_file(folder, ENDPOINTS))
        with Observer(*options, '--ring-capacity', str(QUIET_RING), prefix=inside) as observer:
            before = observer.cpu_s()
            pair.flood(QUIET_RATE, QUIET_S)
            at_most('{} flows/s, {:,} flows, {:,} endpoints'.format(QUIET_RATE, QUIET_RING, ENDPOINTS),
                    observer.rss_mib(), 'MiB', 25)
            at_most('the same: CPU', 100 * (observer.cpu_s() - before) / QUIET_S, '% of a core', 0.5)
        with Observer(*options, prefix=inside) as observer:
            pair.flood(100000, FILL_S)
            time.sleep(1)
            at_most('65,535 flows, {:,} endpoints'.format(ENDPOINTS), observer.rss_mib(), 'MiB', 64)


if __name__ == '__main__':
    main()
