"""One of our servers as a process of its own, in a folder that goes with it."""
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time

import wire

BUILD = os.environ.get('TYCHO_BUILD', os.path.join(wire.ROOT, 'build', 'dev'))
BIN = os.path.join(BUILD, 'bin')
LONG_S = 120  # nothing here takes so long, on however slow a machine: what does has failed


def until(enough, *, fault=lambda: '', seconds=LONG_S):
    """What enough() says, as soon as that is true. It is asked at once and then after ever longer pauses, of 20 ms at most: what is waited
    for needs the processor more than we do. fault() says what is wrong when it takes too long; it may also raise earlier."""
    end, pause_s = time.monotonic() + seconds, 0.0005
    while not (said := enough()):
        assert time.monotonic() < end, fault()
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.02)
    return said


class Daemon:
    """with Daemon() as d: serving while the block runs. Leaving it demands exit code 0, unless the test has killed it.

    A class says what it starts (program, argv()); what the program says on standard error is in log(), and the words
    of its ready line in addresses.
    """
    program = None
    env = {}
    stdin = subprocess.DEVNULL

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix=self.program + '-')
        self.process, self.addresses = None, []

    def argv(self):
        return [os.path.join(BIN, self.program)]

    def __enter__(self):
        self.launch()
        self.wait_ready()
        return self

    def launch(self):
        """Starts, and does not wait; wait_ready() then does."""
        r, w = os.pipe()
        with open(os.path.join(self.folder, 'log'), 'ab') as err:
            self.process = subprocess.Popen(self.argv() + ['--ready-fd', str(w)], pass_fds=(w,), stderr=err,
                                            env=dict(os.environ, **self.env), stdin=self.stdin)
        os.close(w)
        self.ready = r

    def wait_ready(self):
        with os.fdopen(self.ready) as ready:
            line = ready.readline()
        if not line.startswith('ready '):
            self.process.wait(LONG_S)
            raise RuntimeError('%s did not start: %s' % (self.program, self.log()))
        self.addresses = line.split()[1:]

    def __exit__(self, kind, *exc):
        try:
            code = self.stop() if self.process.poll() is None else self.process.returncode
            if kind is None and code not in (0, -signal.SIGKILL, -signal.SIGTERM):
                raise AssertionError('exit %d: %s' % (code, self.log()))
        finally:
            if self.process.stdin:
                with contextlib.suppress(BrokenPipeError):
                    self.process.stdin.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self):
        return self.process.pid

    def stop(self, sig=signal.SIGTERM):
        """Ends the process; its exit code."""
        self.process.send_signal(sig)
        try:
            return self.process.wait(LONG_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError('%s did not stop: %s' % (self.program, self.log()))

    def resident_kib(self):
        return self._kib('VmRSS:')

    def peak_kib(self):
        """The most that has been resident so far."""
        return self._kib('VmHWM:')

    def _kib(self, row):
        with open('/proc/%d/status' % self.pid) as f:
            return next(int(line.split()[1]) for line in f if line.startswith(row))

    def log(self):
        with open(os.path.join(self.folder, 'log'), errors='replace') as f:
            return f.read()


@contextlib.contextmanager
def together(*daemons):
    """All of them, as one after the other would be, but started and ended at the same time."""
    with contextlib.ExitStack() as stack:
        for d in daemons:
            d.launch()
            stack.push(d)
        for d in daemons:
            d.wait_ready()
        yield daemons
        for d in daemons:
            d.process.send_signal(signal.SIGTERM)
