"""A real Prometheus (the distribution's) for tests, on a port of its own; its HTTP API is all that is asked."""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url, headers=None):
    """Status, headers, body; also of an answer that is an error."""
    try:
        with _NO_PROXY.open(urllib.request.Request(url, headers=headers or {}), timeout=20) as r:
            return r.status, dict(r.headers), r.read()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, dict(e.headers), e.read()


def promtool(*words, text=''):
    p = subprocess.run(['promtool', *words], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    return p.returncode, p.stdout


def _free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Prometheus:
    """with Prometheus({job: [target]}) as p. Scrapes twice a second.

    netns: inside this network namespace (an object with .popen and .call, as the lab's), where every port is free.
    """

    def __init__(self, jobs, rules=(), netns=None):
        self.folder = tempfile.mkdtemp(prefix='tycho-prometheus-')
        self.netns = netns
        self.process = None
        config = {'global': {'scrape_interval': '500ms', 'scrape_timeout': '500ms', 'evaluation_interval': '1s'},
                  'rule_files': list(rules),
                  'scrape_configs': [{'job_name': job, **(spec if isinstance(spec, dict) else
                                                          {'static_configs': [{'targets': spec}]})}
                                     for job, spec in jobs.items()]}
        with open(os.path.join(self.folder, 'prometheus.yaml'), 'w') as f:
            json.dump(config, f)  # which is YAML, too

    def _spawn(self):
        argv = ['prometheus', '--config.file=' + os.path.join(self.folder, 'prometheus.yaml'),
                '--storage.tsdb.path=' + os.path.join(self.folder, 'data'), '--web.listen-address=127.0.0.1:%d' % self.port,
                '--log.level=warn', '--enable-feature=exemplar-storage']
        with open(os.path.join(self.folder, 'log'), 'ab') as err:
            if self.netns:
                self.process = self.netns.popen(argv, stdout=err, stderr=err).popen
            else:
                self.process = subprocess.Popen(argv, stdout=err, stderr=err)

    def __enter__(self):
        end = time.monotonic() + 60
        self.port = 9090 if self.netns else _free_port()
        self._spawn()
        while not self._is_ready():
            assert time.monotonic() < end, self.log()
            if self.process.poll() is not None:
                assert 'address already in use' in self.log(), self.log()
                self.port = _free_port()  # somebody was faster
                self._spawn()
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self):
        with open(os.path.join(self.folder, 'log'), errors='replace') as f:
            return f.read()

    def _get(self, path):
        url = 'http://127.0.0.1:%d%s' % (self.port, path)
        return self.netns.call(fetch, url) if self.netns else fetch(url)

    def _is_ready(self):
        try:
            return self._get('/-/ready')[0] == 200
        except (OSError, RuntimeError):
            time.sleep(0.05)
            return False

    def api(self, path, **args):
        status, _, body = self._get('/api/v1/%s?%s' % (path, urllib.parse.urlencode(args)))
        answer = json.loads(body)
        assert status == 200 and answer['status'] == 'success', (path, args, answer)
        return answer['data']

    def query(self, expr):
        """{labels as a sorted tuple, without __name__: value}; of a scalar {(): value}."""
        data = self.api('query', query=expr)
        if data['resultType'] == 'scalar':
            return {(): float(data['result'][1])}
        return {tuple(sorted((k, v) for k, v in r['metric'].items() if k != '__name__')): float(r['value'][1])
                for r in data['result']}

    def wait(self, expr, enough, timeout=120):
        """Asks until enough(answer)."""
        end = time.monotonic() + timeout
        while True:
            got = self.query(expr)
            if enough(got):
                return got
            assert time.monotonic() < end, '%s: %s\n%s' % (expr, got, self.log())
            time.sleep(0.05)
