#!/usr/bin/python3
"""Names of a large cluster, from a made API server: how long its lists take, what they cost in memory, how soon a change is known.

    bench_kubernetes.py [PODS…]        # default 5000 20000

The server has all pages ready in memory; pods are as large as usual ones (managedFields and all). Budgets are those of 20,000 pods."""
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

BIN = os.path.join(os.environ.get('TYCHO_BUILD', 'build/dev'), 'bin', 'tycho-observer')
PAGE = 500
CHANGES = 15


def pod(i, ip=None):
    app = 'app-%d' % (i % 400)
    return {'metadata': {
        'name': '%s-5d8f7c9b66-%05d' % (app, i), 'generateName': app + '-5d8f7c9b66-', 'namespace': 'team-%d' % (i % 40),
        'uid': '%036d' % i, 'resourceVersion': str(1000 + i), 'creationTimestamp': '2026-01-01T00:00:00Z',
        'labels': {'app.kubernetes.io/name': app, 'tier': 'backend', 'version': 'v%d' % (i % 3), 'pod-template-hash': '5d8f7c9b66'},
        'ownerReferences': [{'apiVersion': 'apps/v1', 'kind': 'ReplicaSet', 'name': app + '-5d8f7c9b66', 'uid': 'x' * 36,
                             'controller': True}],
        'managedFields': [{'manager': 'kubelet', 'fieldsV1': {'f:status': {'f:conditions': {'k%d' % k: {'.': {}} for k in range(60)}}}}]},
        'spec': {'nodeName': 'node-%d' % (i % 200), 'serviceAccountName': app,
                 'containers': [{'name': 'main', 'image': 'registry.example/%s:1' % app, 'env': [
                     {'name': 'VARIABLE_%d' % k, 'value': 'some value of it'} for k in range(20)]}]},
        'status': {'phase': 'Running', 'podIP': ip or '10.%d.%d.%d' % (i >> 16 & 255, i >> 8 & 255, i & 255)}}


def identity(number, i):
    """Of the pods that have the labels of pod @i."""
    app, labels = 'app-%d' % (i % 400), pod(i)['metadata']['labels']
    return {'metadata': {'name': str(number), 'resourceVersion': str(number)}, 'security-labels': {
        'k8s:' + k: v for k, v in {**{k: v for k, v in labels.items() if k != 'pod-template-hash'},
                                   'io.cilium.k8s.policy.cluster': 'default', 'io.cilium.k8s.policy.serviceaccount': app,
                                   'io.kubernetes.pod.namespace': 'team-%d' % (i % 40)}.items()}}


IDENTITIES = '/apis/cilium.io/v2/ciliumidentities'


class Server(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 64

    def __init__(self, pods):
        super().__init__(('127.0.0.1', 0), Handler)
        items = [json.dumps(pod(i), separators=(',', ':')) for i in range(pods)]
        self.pages = []
        for at in range(0, pods, PAGE) or [0]:
            more = ',"continue":"%d"' % (at + PAGE) if at + PAGE < pods else ''
            self.pages.append(('{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"5"%s},"items":[%s]}' % (
                more, ','.join(items[at:at + PAGE]))).encode())
        self.bytes = sum(map(len, self.pages))
        self.first, self.watched = None, {}
        self.watch = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def do_GET(self):
        u = urllib.parse.urlsplit(self.path)
        q = dict(urllib.parse.parse_qsl(u.query))
        if q.get('watch'):
            self.send_response(200)
            self.send_header('Transfer-Encoding', 'chunked')
            self.end_headers()
            self.server.watched[u.path] = self.wfile
            if {'/api/v1/pods', IDENTITIES} <= set(self.server.watched):
                self.server.watch.set()
            threading.Event().wait()
        if u.path == '/api/v1/pods':
            self.server.first = self.server.first or time.monotonic()
            body = self.server.pages[int(q.get('continue', 0)) // PAGE]
        elif u.path.startswith('/apis/cilium.io') and u.path != IDENTITIES:
            self.send_error(404)
            return
        else:
            body = b'{"metadata":{"resourceVersion":"5"},"items":[]}'
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def memory_kib(pid):
    with open('/proc/%d/smaps_rollup' % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith('Private_Dirty:'))


def cpu_s(pid):
    with open('/proc/%d/stat' % pid) as f:
        return sum(map(int, f.read().rsplit(')', 1)[1].split()[11:13])) / os.sysconf('SC_CLK_TCK')


def metric(port, name):
    page = urllib.request.urlopen('http://127.0.0.1:%s/metrics' % port).read().decode()
    return float(re.search(r'^%s (\S+)' % re.escape(name), page, re.M).group(1))


def run(pods):
    server = Server(pods)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, 'config')
        with open(config, 'w') as f:
            f.write('current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n'
                    'clusters: [{name: k, cluster: {server: "http://127.0.0.1:%d"}}]\n' % server.server_address[1])
        r, w = os.pipe()
        log = open(os.path.join(folder, 'log'), 'w')
        observer = subprocess.Popen(
            [BIN, '--no-bpf', '--replay', '-', '--node-name', 'node-0', '--state-dir', folder, '--listen', 'unix://%s/s' % folder,
             '--metrics-listen', '127.0.0.1:0', '--store', 'off', '--kubernetes', '--kubeconfig', config, '--ready-fd', str(w)],
            pass_fds=(w,), stdin=subprocess.PIPE, stderr=log)
        os.close(w)
        port = os.fdopen(r).readline().strip().rsplit(':', 1)[1]
        name = 'tycho_kubernetes_publications_total'
        while not metric(port, name):
            time.sleep(0.005)
        published, used = time.monotonic(), cpu_s(observer.pid)
        server.watch.wait()
        time.sleep(1)
        memory = memory_kib(observer.pid)

        def published_after(path, event):
            before, text, out = metric(port, name), json.dumps(event).encode() + b'\n', server.watched[path]
            sent = time.monotonic()
            out.write(b'%x\r\n%s\r\n' % (len(text), text))
            out.flush()
            while metric(port, name) == before:
                pass
            took = time.monotonic() - sent
            time.sleep(0.3)
            return took

        times = range(CHANGES if pods else 0)
        latencies = sorted(published_after('/api/v1/pods', {'type': 'MODIFIED', 'object': pod(0, '10.200.0.%d' % (n + 1))})
                           for n in times)
        of_identities = sorted(published_after(IDENTITIES, {'type': 'ADDED', 'object': identity(5000 + n, n)}) for n in times)
        observer.terminate()
        observer.wait()
        return server, published, used, memory, latencies, of_identities


def figure(what, value, unit, pods, budget):
    limit = 'at most\t%g' % budget if pods >= 20000 and budget else '-\t-'
    print('figure\t%d pods: %s\t%.4g\t%s\t%s' % (pods, what, value, unit, limit), flush=True)


without = run(0)[3]
for count in [int(a) for a in sys.argv[1:]] or [5000, 20000]:
    server, published, used, memory, latencies, of_identities = run(count)
    figure('%.0f MB of lists, asked for to published' % (server.bytes / 1e6), published - server.first, 's', count, 2)
    figure("the same, of the observer's processor time", used, 's', count, 2)
    figure('names, memory beside that without pods', (memory - without) / 1024, 'MiB', count, 40)
    figure('event sent to its name published, median', latencies[len(latencies) // 2] * 1e3, 'ms', count, 50)
    figure('the same, most of %d' % CHANGES, latencies[-1] * 1e3, 'ms', count, 0)
    figure('CiliumIdentity sent to names published, median', of_identities[len(of_identities) // 2] * 1e3, 'ms', count, 50)
