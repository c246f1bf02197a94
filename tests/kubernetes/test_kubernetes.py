"""Names and policies from recordings of a real API server: all that it does, cut connections included."""
import base64
import contextlib
import gzip
import json
import os
import re
import select
import subprocess
import sys
import urllib.request

import pytest

from agent import Monitor, policy_verdict
from follower import Following
from observer import GOLDEN, Observer

RECORDED = os.path.join(GOLDEN, 'kubernetes')


class Api:
    """with Api(folder, 'world', …) as api: a recorded API server; stop() and start() keep its port."""

    def __init__(self, folder, *names, speed=0, options=(), token=None):
        self.folder, self.speed, self.options, self.token = folder, speed, list(options), token
        self.files = [n if os.path.sep in n else os.path.join(RECORDED, n + '.jsonl') for n in names]
        self.port, self.process = 0, None

    def start(self):
        log = open(os.path.join(self.folder, 'api.log'), 'ab')
        self.process = subprocess.Popen(
            [sys.executable, '-u', os.path.join(RECORDED, 'replay-api'), '--speed', str(self.speed), '-v',
             '--listen', '127.0.0.1:%d' % self.port, *(['--token', self.token] if self.token else []), *self.options,
             *self.files], stdout=subprocess.PIPE, stderr=log)
        log.close()
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        line = self.process.stdout.readline().decode() if ready else ''
        assert line, self.log()
        self.scheme, self.port = line.split(':')[0], int(line.rsplit(':', 1)[1])
        return self

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    __enter__ = start

    def __exit__(self, *exc):
        self.stop()

    def log(self):
        with open(os.path.join(self.folder, 'api.log')) as f:
            return f.read()

    def config(self, cluster='', user=''):
        path = os.path.join(self.folder, 'kubeconfig')
        with open(path, 'w') as f:
            f.write('current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n'
                    'clusters: [{name: k, cluster: {server: "%s://127.0.0.1:%d"%s}}]\n'
                    'users: [{name: u, user: {%s}}]\n' % (self.scheme, self.port, cluster, user))
        return path


class Node(Observer):
    """An observer that takes names from an API server; what flows it sees, a monitor socket says."""

    def __init__(self, config, monitor, *options, node='node-a'):
        super().__init__('--source', 'cilium-monitor', '--cilium-monitor', monitor.path, '--cilium-agent', 'none',
                         '--metrics-listen', '127.0.0.1:0', '--kubernetes', '--kubeconfig', config, *options,
                         keep_time=False, path='')
        self.monitor, self.node, self.flows = monitor, node, 0

    def argv(self):
        words = super().argv()
        at = words.index('--replay')
        words = [w for w in words[:at] + words[at + 2:] if w != '--no-bpf']
        words[words.index('--node-name') + 1] = self.node
        return words

    wait = Following.wait

    def page(self):
        address = next(a for a in self.addresses if a.startswith('metrics='))[len('metrics='):]
        with urllib.request.urlopen('http://%s/metrics' % address, timeout=20) as f:
            return f.read().decode()

    def number(self, name):
        got = re.search(r'^tycho_kubernetes_%s (\S+)$' % re.escape(name), self.page(), re.M)
        return float(got.group(1))

    def objects(self, kind):
        return self.number('objects{kind="%s"}' % kind)

    def named(self):
        return self.wait(lambda: 'names from Kubernetes' in self.log(), 'names')

    def hear(self, source, destination, port=80):
        """The flow that this verdict becomes."""
        self.monitor.say(policy_verdict(0, 0, 0, port, 2, source, destination))
        self.flows += 1
        n = self.flows
        with self.client() as c:
            return self.wait(lambda: (lambda f: f if len(f) == n else None)(c.flows(first=True)), '%d flows' % n)[-1]

    def name_of(self, ip):
        return self.hear(ip, '198.51.100.1').source

    def wait_name(self, ip, pod):
        return self.wait(lambda: self.name_of(ip).pod_name == pod, '%s is %s' % (ip, pod))


@pytest.fixture
def folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp('k'))


@pytest.fixture
def node(folder):
    """node('world', …) serves these recordings to an observer; both end with the test."""
    with contextlib.ExitStack() as stack:
        def make(*names, speed=0, options=(), name='node-a', **config):
            api = stack.enter_context(Api(folder, *names, speed=speed))
            monitor = stack.enter_context(Monitor(folder))
            ob = Node(api.config(**config), monitor, *options, node=name)
            stack.enter_context(ob)
            ob.api = api
            return ob
        yield make


def recorded(name, path):
    """The objects of the last list of @path in a recording: the truth to compare with."""
    targets, bodies = {}, {}
    with open(os.path.join(RECORDED, name + '.jsonl')) as f:
        for line in map(json.loads, f):
            if line['type'] == 'request' and path in line['target'] and 'watch=true' not in line['target']:
                targets[line['id']] = line['target']
            elif line['type'] in ('chunk', 'part') and line['id'] in targets:
                bodies[line['id']] = bodies.get(line['id'], '') + line['data']
    return json.loads(bodies[max(bodies)])['items']


KINDS = {'Namespace': '/namespaces', 'Node': '/nodes', 'Pod': '/pods', 'Service': '/services',
         'EndpointSlice': '/endpointslices', 'NetworkPolicy': '/networkpolicies',
         'CiliumNetworkPolicy': '/ciliumnetworkpolicies',
         'CiliumClusterwideNetworkPolicy': '/ciliumclusterwidenetworkpolicies'}


def test_lists_and_events_come_to_what_the_last_lists_say(node):
    ob = node('world')
    ob.named()
    want = {kind: len(recorded('world', path + '?')) for kind, path in KINDS.items()}
    ob.wait(lambda: {k: ob.objects(k) for k in want} == want, 'all kinds')
    for pod in recorded('world', '/pods?'):
        if pod['spec'].get('hostNetwork') or pod['status']['phase'] != 'Running':
            continue
        for ip in (i['ip'] for i in pod['status']['podIPs'] if ':' not in i['ip']):
            def is_it():
                who = ob.name_of(ip)
                return ((who.pod_name, who.namespace) == (pod['metadata']['name'], pod['metadata']['namespace']) and
                        'k8s:app=' + pod['metadata']['labels']['app'] in who.labels and
                        (who.ID != 0) == (pod['spec']['nodeName'] == 'node-a'))
            ob.wait(is_it, '%s is %s' % (ip, pod['metadata']['name']))
    assert ob.number('left_out_total') == 0


def test_pods_services_and_nodes_are_named_as_cilium_does(node):
    ob = node('world')
    ob.named()
    ob.wait_name('10.244.2.15', 'web-856ccf8c9f-knh9k')
    # the watches of the several kinds come in any order: what they come to is waited for
    labels = sorted([
        'k8s:app=web', 'k8s:io.cilium.k8s.namespace.labels.env=prod', 'k8s:io.cilium.k8s.namespace.labels.team=store',
        'k8s:io.cilium.k8s.policy.cluster=default', 'k8s:io.cilium.k8s.policy.serviceaccount=default',
        'k8s:io.kubernetes.pod.namespace=shop'])
    for ip, workload in (('10.244.2.15', ('Deployment', 'web')), ('10.244.1.12', ('StatefulSet', 'db'))):
        ob.wait(lambda: [(w.kind, w.name) for w in ob.name_of(ip).workloads] == [workload], workload[1])
    ob.wait(lambda: list(ob.name_of('10.244.2.15').labels) == labels, 'the labels of web')
    ob.wait(lambda: list(ob.name_of('192.0.2.11').labels) == ['reserved:host'], 'the node itself')
    # the address that node-b has since
    ob.wait(lambda: list(ob.name_of('192.0.2.22').labels) == ['reserved:remote-node'], 'node-b')
    assert ob.name_of('192.0.2.22').identity == 6
    ob.wait(lambda: ob.hear('198.51.100.1', '10.96.180.43').destination_service.name == 'web', 'the service')
    # the finished job pods have no address any more
    ob.wait(lambda: not ob.name_of('10.244.2.13').pod_name, 'no name of a finished pod')


def test_equal_labels_have_one_identity_on_every_node(node, folder):
    ob = node('world')
    ob.named()
    ob.wait_name('10.244.2.15', 'web-856ccf8c9f-knh9k')
    ob.wait_name('10.244.2.10', 'web-856ccf8c9f-nt7vt')

    def ours():  # a change of the namespace's labels may come between the two
        return ob.name_of('10.244.2.15').identity, ob.name_of('10.244.2.10').identity
    assert ob.wait(lambda: (lambda i: i if i[0] == i[1] else None)(ours()), 'one identity')[0] >= 256


def whole_cluster(folder, name, without=()):
    """A recording whose requests are for one namespace or a selection, as one of the whole cluster: what Tycho asks for.

    without: ids of exchanges that are left out."""
    path = os.path.join(folder, name + '.jsonl')
    with open(os.path.join(RECORDED, name + '.jsonl')) as f, open(path, 'w') as out:
        for o in map(json.loads, f):
            if o.get('id') in without:
                continue
            if o['type'] == 'request':
                target = o['target'].replace('/namespaces/bulk/pods', '/pods')
                target = re.sub(r'limit=\d+', 'limit=500', target)  # else an equal query of another recording comes first
                o['target'] = re.sub(r'&?(label|field)Selector=[^&]*', '', target).replace('?&', '?')
            out.write(json.dumps(o) + '\n')
    return path


def exchanges(name, path):
    """(target, body) of the exchanges of a recording whose target holds @path; bodies that are lists or events, as JSON."""
    targets, bodies = {}, {}
    with open(os.path.join(RECORDED, name + '.jsonl')) as f:
        for line in map(json.loads, f):
            if line['type'] == 'request' and path in line['target']:
                targets[line['id']] = line['target']
            elif line['type'] in ('chunk', 'part') and line['id'] in targets:
                data = base64.b64decode(line['b64']) if 'b64' in line else line['data'].encode()
                bodies[line['id']] = bodies.get(line['id'], b'') + data
    for i, target in targets.items():
        body = bodies.get(i, b'')
        yield target, gzip.decompress(body) if body[:2] == b'\x1f\x8b' else body


def names_after(name, path, known=()):
    """The names that lists and events of a recording come to, as a plain reading of them has it."""
    names = set(known)
    for target, body in exchanges(name, path):
        if 'watch=true' not in target:
            names |= {(o['metadata'].get('namespace'), o['metadata']['name']) for o in json.loads(body)['items']}
            continue
        for e in map(json.loads, body.splitlines()):
            if e['type'] in ('ADDED', 'MODIFIED', 'DELETED'):
                m = e['object']['metadata']
                key = (m.get('namespace'), m['name'])
                names = names - {key} if e['type'] == 'DELETED' else names | {key}
    return names


def start_of_world(path):
    return {(o['metadata'].get('namespace'), o['metadata']['name'])
            for o in json.loads(next(exchanges('world', path))[1])['items']}


def test_pages_of_a_list_and_the_watch_after_them_come_to_one_state(node, folder):
    ob = node(whole_cluster(folder, 'list-pages'))
    want = len(names_after('list-pages', 'bulk/pods'))
    assert want > 500
    ob.wait(lambda: ob.objects('Pod') == want, '%d pods' % want)


def test_a_page_that_has_expired_begins_the_list_anew(node):
    ob = node('list-pages-expired')
    items = json.loads(list(exchanges('list-pages-expired', '/nodes?limit=500'))[-1][1])['items']
    ob.wait(lambda: ob.number('gone_total') >= 1, '410 Gone')
    ob.wait(lambda: ob.objects('Node') == len(items), 'nodes')


def test_a_list_that_is_compressed_is_read(node, folder):
    ob = node(whole_cluster(folder, 'gzip-list'))
    first = json.loads(next(exchanges('gzip-list', 'bulk/pods'))[1])
    assert len(first['items']) == 200
    ob.wait(lambda: ob.objects('Pod') == 200, 'a page of pods')


def events_in(name, path):
    """(id, how many objects came or went) of each watch of a recording whose target holds @path."""
    with open(os.path.join(RECORDED, name + '.jsonl')) as f:
        ids = [o['id'] for o in map(json.loads, f) if o['type'] == 'request' and path in o['target']]
    return [(i, sum(json.loads(e)['type'] != 'BOOKMARK' for e in body.splitlines()))
            for i, (target, body) in zip(ids, exchanges(name, path), strict=True) if 'watch=true' in target]


def test_what_a_watch_says_with_a_selection_is_taken_as_said(node, folder):
    pods, all_of_world = events_in('world', '/v1/pods?'), events_in('world', '?')
    events = sum(n for _, n in all_of_world) - sum(n for _, n in pods) + sum(n for _, n in events_in('watch-selector', 'pods?'))
    ob = node(whole_cluster(folder, 'watch-selector'), whole_cluster(folder, 'world', without=[i for i, _ in pods]))
    # two watches: which one comes first does not matter, they have no pod in common at the end
    known = names_after('watch-selector', '/pods?watch', start_of_world('/pods?'))
    ob.wait(lambda: ob.number('events_total') == events, '%d events' % events)
    assert ob.objects('Pod') == len(known)


def test_existing_objects_that_come_as_events_are_no_news(node):
    ob = node('watch-from-0', 'world')
    want = len(names_after('watch-from-0', '/nodes', start_of_world('/nodes?')))
    ob.wait(lambda: ob.objects('Node') >= want, 'nodes')


def test_a_watch_goes_on_from_the_last_bookmark(node):
    ob = node('watch-bookmarks', 'world')
    body = next(exchanges('watch-bookmarks', '/networkpolicies?watch'))[1]
    last = json.loads(body.splitlines()[-1])
    assert last['type'] == 'BOOKMARK'
    version = last['object']['metadata']['resourceVersion']
    ob.wait(lambda: re.search(r'/networkpolicies\?\S*resourceVersion=%s\b' % version, ob.api.log()), 'that version')


def test_too_many_requests_are_paused_and_asked_again(node, folder):
    ob = node(whole_cluster(folder, 'too-many-requests', without=[2]), 'world')  # 2: the one that was served
    ob.wait(lambda: 'status 429' in ob.log(), 'a word of it')
    ob.wait(lambda: ob.objects('Pod') == 11, 'the pods of the cluster in the end')


@pytest.mark.parametrize('name', ['list-rv0', 'pretty', 'watch-idle-bookmarks', 'metadata-only', 'auth', 'missing', 'discovery',
                                  'list-rv-semantics', 'auth-certs'])
def test_strange_answers_before_the_right_ones_do_no_harm(node, folder, name):
    ob = node(whole_cluster(folder, name), 'world')
    ob.wait_name('10.244.2.12', 'db-1')


def test_a_version_that_is_too_old_leads_to_a_new_list_and_nobody_is_nameless_meanwhile(node):
    ob = node('watch-too-old', 'world', speed=20)
    ob.wait_name('10.244.2.12', 'db-1')

    def gone():
        assert ob.name_of('10.244.2.12').pod_name == 'db-1'
        return ob.number('gone_total')
    ob.wait(gone, '410 Gone')
    for _ in range(20):
        assert ob.name_of('10.244.2.12').pod_name == 'db-1'


def test_a_list_that_is_cut_in_the_middle_of_an_object_is_taken_anew(node, folder):
    ob = node(whole_cluster(folder, 'restart-sigkill'), 'world')
    ob.wait_name('10.244.2.12', 'db-1')
    assert ob.number('failures_total') >= 1
    # what the broken list had named, and the whole one does not, is gone
    ob.wait(lambda: ob.objects('Pod') < 50, 'the pods of the whole list')


@pytest.mark.parametrize('name', ['restart-sigkill', 'restart-sigterm'])
def test_a_watch_that_is_cut_goes_on_where_it_was(node, name):
    ob = node(name, 'world')
    watches = [t for t, _ in exchanges(name, '/nodes?watch')]
    version = re.search(r'resourceVersion=(\d+)', watches[1]).group(1)
    ob.wait(lambda: re.search(r'/nodes\?\S*resourceVersion=%s\b' % version, ob.api.log()), 'that version')


def test_names_stay_while_the_server_is_away_and_are_renewed_after(node):
    ob = node('world')
    ob.named()
    ob.wait_name('10.244.2.15', 'web-856ccf8c9f-knh9k')
    ob.api.stop()
    ob.wait(lambda: ob.number('stale_kinds') > 0, 'a word of it')
    assert ob.name_of('10.244.2.15').pod_name == 'web-856ccf8c9f-knh9k'
    ob.api.start()
    ob.wait(lambda: ob.number('stale_kinds') == 0, 'all kinds again')
    assert ob.name_of('10.244.2.15').pod_name == 'web-856ccf8c9f-knh9k'


def test_policies_in_force_and_gone_are_in_the_store(node):
    ob = node('world')
    ob.named()
    ob.wait(lambda: ob.objects('NetworkPolicy') == 1 and ob.objects('CiliumNetworkPolicy') == 0, 'policies')
    db = os.path.join(ob.folder, 'state')

    def kept():
        p = subprocess.run([os.path.join(os.path.dirname(ob.argv()[0]), 'tycho'), 'sql', '--store', db, '-o', 'json',
                            'SELECT * FROM policies'], capture_output=True, text=True, timeout=30)
        return p.stdout
    ob.wait(lambda: 'allow-front' in kept(), 'the policy that is in force')


def test_a_token_that_is_refused_is_told_and_observing_goes_on(folder):
    with Api(folder, 'world', token='right') as api, Monitor(folder) as monitor, \
            Node(api.config(user='token: wrong'), monitor) as ob:
        ob.wait(lambda: 'status 401' in ob.log(), 'a word of it')
        assert ob.name_of('10.244.2.15').labels == ['reserved:unknown']
        assert 'wrong' not in ob.log()


def test_a_token_file_is_read_again_for_each_request(folder):
    path = os.path.join(folder, 'token')
    with open(path, 'w') as f:
        f.write('old\n')
    with Api(folder, 'world', token='new') as api, Monitor(folder) as monitor, \
            Node(api.config(user='tokenFile: token'), monitor) as ob:
        ob.wait(lambda: 'status 401' in ob.log(), 'a word of it')
        with open(path, 'w') as f:
            f.write('new\n')
        ob.wait_name('10.244.2.15', 'web-856ccf8c9f-knh9k')


@pytest.mark.parametrize('user, says', [('exec: {command: aws}', 'no other program is started'),
                                        ('username: a, password: b', 'names and passwords')])
def test_what_is_refused_in_a_kubeconfig_ends_the_start_with_one_sentence(folder, user, says):
    with Api(folder, 'world') as api, Monitor(folder) as monitor:
        with pytest.raises(RuntimeError) as e, Node(api.config(user=user), monitor):
            pass
        assert says in str(e.value)
