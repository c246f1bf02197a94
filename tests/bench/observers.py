"""What the benchmarks in Python share: an observer that runs, its figures, a veth pair in namespaces of its own."""
import contextlib
import glob
import json
import os
import re
import signal
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.join(os.environ.get('TYCHO_BUILD', os.path.join(ROOT, 'build')), 'bin')
SHARED = os.environ.get('TYCHO_SHARED') or os.path.join(os.path.dirname(ROOT), 'shared')
REAL_FLOWS = os.path.join(SHARED, 'golden', 'flows', 'real.jsonl')
CPUS = os.cpu_count()


# --- figures: lines as tests/bench/bench.h has them ----------------------------------------------------------------

def figure(what, measured, unit, bound='-', budget='-'):
    budget = budget if budget == '-' else '%.6g' % budget
    print('figure\t%s\t%.6g\t%s\t%s\t%s' % (what, measured, unit, bound, budget), flush=True)


def at_most(what, measured, unit, budget):
    figure(what, measured, unit, 'at most', budget)


def at_least(what, measured, unit, budget):
    figure(what, measured, unit, 'at least', budget)


# --- processes -----------------------------------------------------------------------------------------------------

def sh(*argv, **kw):
    words = argv[0].split() if len(argv) == 1 else list(argv)
    p = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
    if p.returncode != 0:
        raise RuntimeError('%s: exit %d: %s' % (' '.join(words), p.returncode, p.stderr.strip()))
    return p.stdout


def on_cpu(n, argv):
    """@argv kept on one CPU, where there are several."""
    return ['taskset', '-c', str(n % CPUS)] + argv if CPUS > 1 else argv


class Observer:
    """A tycho-observer on a unix socket and a TCP port of its own; ended when the `with` ends."""

    def __init__(self, *options, prefix=()):
        self.folder = tempfile.TemporaryDirectory(prefix='tycho-bench-')
        self.unix = 'unix://%s/observer.sock' % self.folder.name
        self.log_path = os.path.join(self.folder.name, 'log')
        r, w = os.pipe()
        with open(self.log_path, 'wb') as log:
            self.process = subprocess.Popen(
                list(prefix) + [os.path.join(BIN, 'tycho-observer'), '--listen', self.unix, '--listen', '127.0.0.1:0',
                                '--state-dir', os.path.join(self.folder.name, 'state'), '--ready-fd', str(w)]
                + list(options), pass_fds=(w,), stderr=log, stdin=subprocess.DEVNULL)
        os.close(w)
        with os.fdopen(r) as ready:
            words = ready.readline().split()
        if words[:1] != ['ready']:
            self.process.wait()
            raise RuntimeError('observer did not start: ' + self.log())
        self.tcp = words[2]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.folder.cleanup()

    def log(self):
        with open(self.log_path, errors='replace') as f:
            return f.read()

    def tycho(self, *args):
        return sh(os.path.join(BIN, 'tycho'), *args, '--server', self.unix)

    def seen(self):
        return int(json.loads(self.tycho('status', '-o', 'json')).get('seen_flows', 0))

    def wait_for_replay(self):
        while 'replay is over' not in self.log():
            if self.process.poll() is not None:
                raise RuntimeError('observer ended: ' + self.log())
            time.sleep(0.1)

    def rss_mib(self):
        with open('/proc/%d/status' % self.process.pid) as f:
            return int(re.search(r'VmRSS:\s+(\d+) kB', f.read()).group(1)) / 1024

    def cpu_s(self, thread=None):
        """CPU time of the threads of this name (15 letters), or of all."""
        total_ns = 0
        for task in glob.glob('/proc/%d/task/*' % self.process.pid):
            with contextlib.suppress(FileNotFoundError), open(task + '/comm') as comm, open(task + '/schedstat') as st:
                if thread in (None, comm.read().strip()):
                    total_ns += int(st.read().split()[0])
        return total_ns / 1e9


# --- a veth pair: `here`, where the observer is, and `there`, where packets come from --------------------------------

class Pair:
    def __init__(self, name):
        self.here, self.there, self.dev = 'tb-%s-here' % name, 'tb-%s-there' % name, 'flood0'

    def __enter__(self):
        self._remove()
        for ns in (self.here, self.there):
            sh('ip', 'netns', 'add', ns)
            # nothing but what is sent: no IPv6, so no neighbours and routers to look for
            sh('ip', 'netns', 'exec', ns, 'sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1',
               'net.ipv6.conf.default.disable_ipv6=1')
        sh('ip link add %s netns %s type veth peer name %s netns %s' % (self.dev, self.here, self.dev, self.there))
        for ns in (self.here, self.there):
            sh('ip -n %s link set %s up' % (ns, self.dev))
            sh('ip -n %s link set lo up' % ns)
        sh('ip -n %s addr add 10.9.0.1/24 dev %s' % (self.here, self.dev))
        return self

    def __exit__(self, *exc):
        self._remove()

    def _remove(self):
        names = sh('ip netns list').split()
        for ns in (self.here, self.there):
            if ns in names:
                sh('ip', 'netns', 'del', ns)

    def inside(self, ns):
        return ['ip', 'netns', 'exec', ns]

    def mac(self):
        return re.search(r'link/ether (\S+)', sh('ip -n %s link show dev %s' % (self.here, self.dev))).group(1)

    def received(self):
        out = sh(*self.inside(self.here), 'cat', '/sys/class/net/%s/statistics/rx_packets' % self.dev)
        return int(out)

    def flood(self, rate, seconds, drop_every=0, meanwhile=None):
        """Sends (see flood_send.c) and calls @meanwhile(). Returns packets sent, and those of them for the firewall."""
        p = subprocess.Popen(on_cpu(1, self.inside(self.there) + [os.path.join(BIN, 'flood_send'), self.dev, str(rate),
                                                                  str(seconds), str(drop_every), self.mac()]),
                             stdout=subprocess.PIPE, text=True)
        if meanwhile:
            meanwhile()
        words = p.communicate()[0].split()
        if p.returncode != 0:
            raise RuntimeError('flood_send: exit %d' % p.returncode)
        return int(words[1]), int(words[3])


def endpoints_file(folder, count):
    """An endpoint table of @count pods, from 10.64.0.0 on: the sources of Pair.flood."""
    path = os.path.join(folder, 'endpoints.yaml')
    with open(path, 'w') as f:
        f.write('endpoints:\n')
        for i in range(count):
            f.write('- ips: [10.64.%d.%d]\n  namespace: shop\n  pod: cart-7f9c5d8b6-%d\n'
                    '  labels: [k8s:app=cart-%d, k8s:env=prod, k8s:io.kubernetes.pod.namespace=shop]\n'
                    '  workload: Deployment/cart\n' % (i >> 8, i & 255, i, i % 100))
    return path
