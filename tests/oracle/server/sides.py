"""The two servers that are asked: ours, and the reference's (main.go). Both read their flows from standard input."""
import json
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(os.path.dirname(HERE)), 'api')]

import wire  # noqa: E402
from daemon import Daemon, until  # noqa: E402
from observer import Observer  # noqa: E402


class Ours(Observer):
    hides_newest = False

    def __init__(self, *options, capacity=4095, node='n0', binary=None, listen=None):
        super().__init__('--store', 'off', '--ring-capacity', str(capacity), '--node-name', node, *options, listen=listen)
        self.binary, self.fed = binary, 0

    def argv(self):
        argv = super().argv()
        return [self.binary or argv[0]] + argv[1:]

    @property
    def address(self):
        return self.addresses[0]

    def give(self, lines):
        """Lines, the last of which is a flow, and waits until they are in the ring."""
        self.feed(lines)
        self.fed += sum('flow' in json.loads(x) for x in lines)
        self.wait_seen(self.fed)

    def close_newest(self):
        pass


class Hubble(Daemon):
    """The reference. What it does not show, its newest event, is given away by close_newest()."""
    program = 'server'
    hides_newest = True
    CLOSING = '{"debug_event":{"type":"DBG_GENERIC"},"node_name":"n0","time":"2023-11-14T22:13:20Z"}'

    def __init__(self, program, *options, capacity=4095, node='n0', listen=None):
        super().__init__()
        self.binary, self.options, self.syncs = program, list(options), 0
        self.listen = listen or 'unix://' + os.path.join(self.folder, 's.sock')
        self.options += ['--capacity', str(capacity), '--node-name', node]

    def argv(self):
        return [self.binary, '--listen', self.listen] + self.options

    def launch(self):
        r, w = os.pipe()
        with open(os.path.join(self.folder, 'log'), 'ab') as err:
            self.process = subprocess.Popen(self.argv() + ['--ready-fd', str(w)], pass_fds=(w,), stderr=err,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.close(w)
        self.ready = r

    def stop(self, sig=signal.SIGTERM):
        code = super().stop(sig)
        self.process.stdout.close()
        return code

    @property
    def address(self):
        return self.addresses[0]

    def client(self, **kw):
        return wire.Client(self.address, **kw)

    def feed(self, lines):
        self.process.stdin.write(''.join(x + '\n' for x in lines).encode())
        self.process.stdin.flush()

    def give(self, lines):
        self.syncs += 1
        self.feed(lines + ['{"sync":%d}' % self.syncs])
        said = self.process.stdout.readline().decode()
        assert said == 'synced %d\n' % self.syncs, said or self.log()

    def close_newest(self):
        self.give([self.CLOSING])


def side(program, **kw):
    """By what the program is."""
    if os.path.basename(program) == 'tycho-observer':
        return Ours(binary=program, **kw)
    return Hubble(program, **kw)


__all__ = ['Hubble', 'Ours', 'side', 'until', 'wire']
