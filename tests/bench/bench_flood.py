#!/usr/bin/python3
"""New connections flood a veth, one packet each, so that aggregation hides nothing: what the observer has of them.

First at the rate it must bear without a loss, then as fast as one core can send. One packet in 256 is dropped by
a firewall: a flood of traces must not cost a drop.
"""
import json
import os
import signal
import subprocess
import tempfile
import time

from observers import BIN, Observer, Pair, at_least, at_most, endpoints_file, figure, sh

ENDPOINTS = 5000
RATE, SECONDS = 100000, 5
DROP_EVERY = 256
PORT_DROPPED = 9
FIREWALL = ('table inet flood { chain pre { type filter hook prerouting priority -300; udp dport %d drop; }; }' %
            PORT_DROPPED)


class Watch:
    """A follower that asks for drops; what was lost comes with them unasked."""

    def __init__(self, observer, folder):
        self.path = os.path.join(folder, 'watch.json')
        with open(self.path, 'wb') as out:
            self.process = subprocess.Popen(
                [os.path.join(BIN, 'tycho'), 'observe', '--follow', '--verdict', 'DROPPED', '-o', 'json',
                 '--server', observer.unix], stdout=out, stderr=subprocess.DEVNULL)

    def counts(self):
        """Drops seen, events reported as lost."""
        drops = lost = 0
        with open(self.path) as f:
            for line in f:
                if not line.endswith('\n'):
                    break
                message = json.loads(line)
                drops += 'flow' in message
                lost += int(message.get('lost_events', {}).get('num_events_lost', 0))
        return drops, lost

    def stop(self):
        self.process.terminate()
        self.process.wait()


def state(observer, watch):
    return (observer.seen(),) + watch.counts()


def settled(observer, watch):
    """The counts once nothing is on its way any more."""
    before = None
    while True:
        now = state(observer, watch)
        if now == before:
            return now
        before = now
        time.sleep(1.2)  # losses are told once a second


def flood(pair, observer, watch, rate, meanwhile=None):
    """What came of it. 'events': every packet that arrived, and every one that the firewall dropped then."""
    seen0, drops0, lost0 = settled(observer, watch)
    received0, cpu0, start = pair.received(), observer.cpu_s('tycho-capture'), time.monotonic()
    _, dropped = pair.flood(rate, SECONDS, DROP_EVERY, meanwhile)
    took = time.monotonic() - start
    cpu = observer.cpu_s('tycho-capture') - cpu0
    events = pair.received() - received0 + dropped
    seen, drops, lost = settled(observer, watch)
    return {'events': events, 'dropped': dropped, 'drops': drops - drops0, 'lost': lost - lost0,
            'unknown': abs(events - (seen - seen0) - (lost - lost0)), 'rate': events / took, 'cpu': 100 * cpu / took}


def stop_for_a_while(observer):
    """The kernel's ring must overflow: nothing reads it for two seconds."""
    time.sleep(1)
    observer.process.send_signal(signal.SIGSTOP)
    time.sleep(2)
    observer.process.send_signal(signal.SIGCONT)


def main():
    with tempfile.TemporaryDirectory(prefix='tycho-bench-') as folder, Pair('flood') as pair:
        sh(*pair.inside(pair.here), 'nft', FIREWALL)
        # What found the ring full stays in the kernel's table, and is told by the sweep an interval later: on a slow machine
        # before we are done, and then it counts twice.
        with Observer('--interface', pair.dev, '--endpoints', endpoints_file(folder, ENDPOINTS), '--interval', '10m',
                      prefix=pair.inside(pair.here)) as observer:
            watch = Watch(observer, folder)
            try:
                paced = flood(pair, observer, watch, RATE)
                flat_out = flood(pair, observer, watch, 0)
                stopped = flood(pair, observer, watch, 0, lambda: stop_for_a_while(observer))
            finally:
                watch.stop()
    at_most('{:,} events at {:,}/s: lost'.format(paced['events'], RATE), paced['lost'], '', 0)
    figure('the same: capture thread', paced['cpu'], '% of a core')
    at_least('as fast as can be sent: captured', (flat_out['events'] - flat_out['lost']) / SECONDS, '/s', RATE)
    figure('the same: lost of {:,}'.format(flat_out['events']), flat_out['lost'], '')
    figure('the same: capture thread', flat_out['cpu'], '% of a core')
    figure('observer stopped for 2 s: lost of {:,}'.format(stopped['events']), stopped['lost'], '')
    at_most('the same: neither seen nor counted as lost', stopped['unknown'], '', 0)
    at_most('the same: drops lost of {:,}'.format(stopped['dropped']), stopped['dropped'] - stopped['drops'], '', 0)


if __name__ == '__main__':
    main()
