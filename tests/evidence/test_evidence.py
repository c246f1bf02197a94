"""Evidence from end to end: the observer signs and exports, the command verifies, and so does a second verifier that was
written from docs/evidence.md alone."""
import contextlib
import csv
import glob
import html.parser
import http.server
import json
import os
import re
import shutil
import signal
import socketserver
import sqlite3
import ssl
import subprocess
import threading
import urllib.request

import pytest

import disk
import observer
import pki
import wire
from daemon import until

HERE = os.path.dirname(os.path.abspath(__file__))
TYCHO = os.path.join(observer.BIN, 'tycho')


def tycho(*words, code=0):
    done = subprocess.run([TYCHO, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope='session')
def messages(tmp_path_factory):
    """proto/ as Python, made by protoc."""
    out = str(tmp_path_factory.mktemp('messages'))
    proto = os.path.join(wire.ROOT, 'proto')
    files = [os.path.join(folder, f) for folder in ('flow', 'observer', 'relay', 'tycho/v1')
             for f in sorted(os.listdir(os.path.join(proto, folder))) if f.endswith('.proto')]
    subprocess.run(['protoc', '-I', proto, '-I', '/usr/include', '--python_out', out, *files], check=True)
    return out


def second(messages, paths):
    """{path: 'ok' or the fault}"""
    done = subprocess.run(['/usr/bin/python3', os.path.join(HERE, 'verify.py'), messages, *paths], check=True,
                          stdout=subprocess.PIPE, text=True, timeout=300)
    return {line.split('\t')[1]: line for line in done.stdout.splitlines()}


class Heard(list):
    """What a receiver of checkpoints took, a line each."""
    news = threading.Condition()

    def append(self, line):
        with self.news:
            super().append(line)
            self.news.notify_all()

    @classmethod
    def wait(cls, enough):
        with cls.news:
            assert cls.news.wait_for(enough, 120)


@pytest.mark.repeats_units  # these two; what is new here is the verifier in Python
def test_both_verifiers_agree_on_every_bundle_that_lies(messages, tmp_path):
    for lies in 'test_evidence_tamper', 'test_evidence_bytes':
        done = subprocess.run([os.path.join(observer.BIN, lies)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=dict(os.environ, TYCHO_EVIDENCE_CASES=str(tmp_path)), timeout=280)
        assert done.returncode == 0, done.stdout
    good, bad = glob.glob(str(tmp_path / 'good-*')), glob.glob(str(tmp_path / 'bad-*'))
    assert len(good) >= 3 and len(bad) > 100
    said = second(messages, good + bad)
    assert {os.path.basename(p) for p in good + bad if said[p].startswith('ok')} == {os.path.basename(p) for p in good}


@pytest.fixture(scope='session')
def recorded(tmp_path_factory):
    """All kinds of flows there are, in one file."""
    path = tmp_path_factory.mktemp('recorded') / 'flows.jsonl'
    with open(path, 'wb') as out:
        for name in ('real', 'synthetic', 'mixed', 'kinds'):
            with open(observer.golden(name + '.jsonl'), 'rb') as f:
                out.write(f.read())
        out.write(observer.flow(0, uuid='the-last').encode() + b'\n')
    return str(path)


class Receiver(http.server.BaseHTTPRequestHandler):
    lines = Heard()

    def do_POST(self):
        self.lines.append(self.rfile.read(int(self.headers['Content-Length'])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


def exported(ob, path, *options):
    """A bundle, once the store has sealed something."""
    def one():
        done = subprocess.run([TYCHO, 'evidence', 'export', '--overwrite', '--server', ob.socket, '-o', path, *options],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return not done.stdout.startswith(path + ': 0 ')
    until(one)


def wait_sealed(ob):
    """Until all of recorded is in the store, which seals in the order of the file."""
    exported(ob, os.path.join(ob.folder, 'last.tar.zst'), '--uuid', 'the-last')


def test_recorded_flows_are_proven_to_both_verifiers(recorded, messages, tmp_path):
    server = http.server.HTTPServer(('127.0.0.1', 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kept = str(tmp_path / 'checkpoints.jsonl')
    paths = [str(tmp_path / (n + '.tar.zst')) for n in ('all', 'redacted', 'dropped')]
    with observer.Observer('--checkpoint-to', 'file:' + kept, '--checkpoint-to', 'http://127.0.0.1:%d/in' % server.server_port,
                           path=recorded) as ob:
        wait_sealed(ob)
        exported(ob, paths[0], '--csv')
        exported(ob, paths[1], '--csv', '--redact', 'ip,labels', '--redact', 'dns')
        exported(ob, paths[2], '--verdict', 'DROPPED')
        key = os.path.join(ob.folder, 'state', 'evidence.key')
        assert os.stat(key).st_mode & 0o777 == 0o600
        fingerprint = tycho('evidence', 'keys', key).split()[0]
        pem = tycho('evidence', 'keys', '--pem', key).split('\n', 1)[1]
        Heard.wait(lambda: Receiver.lines)
    server.shutdown()
    with open(kept) as f:
        lines = f.readlines()
    assert lines and Receiver.lines[0] == lines[0]  # at the start; the last may come when the server is gone
    (tmp_path / 'key.pem').write_text(pem)
    words = tycho('evidence', 'verify', *paths, '--pubkey', str(tmp_path / 'key.pem'), '--pubkey', fingerprint, '--checkpoints', kept)
    assert words.count('every flow is proven\n') == 3 and 'only the bundle' not in words
    # who signed it is not known of the file alone
    words = tycho('evidence', 'verify', paths[0])
    assert 'every flow is as it was signed; by whom, only the bundle says' in words and fingerprint in words and 'is proven' not in words
    assert 'every flow is proven\n' in tycho('evidence', 'verify', paths[0], '--checkpoints', kept)
    assert all(line.startswith('ok') for line in second(messages, paths).values())
    # another key than the one given
    assert 'not signed by a key that was given' in tycho('evidence', 'verify', paths[0], '--pubkey', '0' * 64, code=1)
    # the flows are what observe reads
    subprocess.run(['tar', '--zstd', '-xf', paths[0], '-C', str(tmp_path)], check=True)
    flows = sorted(glob.glob(str(tmp_path / 'nodes' / '1' / '*' / 'flows.jsonl')))
    seen = tycho('observe', '--input-file', flows[0], '--verdict', 'DROPPED', '-o', 'jsonpb').count('\n')
    with open(flows[0]) as f:
        assert seen == sum(json.loads(line)['flow'].get('verdict') == 'DROPPED' for line in f) > 0
    report = (tmp_path / 'report.html').read_text()
    assert 'Who talked to whom' in report and 'What is not covered' in report and '<script' not in report


def test_a_name_is_no_formula_in_the_table_and_no_element_in_the_report(messages, tmp_path):
    names = [sign + "HYPERLINK(\"http://x/\",'<script>')" for sign in '=+-@\t\r'] + ['<img src=x onerror=alert(1)>', '"><svg onload=alert(1)>', '-']
    path = str(tmp_path / 'b.tar.zst')
    with observer.Observer(lines=[observer.flow(i, source={'namespace': name, 'pod_name': name}, node_name=name, verdict='DROPPED',
                                                drop_reason_desc='POLICY_DENIED', destination_names=[name])
                                  for i, name in enumerate(names)]) as ob:
        ob.wait_seen(len(names))
        until(lambda: exported(ob, path, '--csv') or ': %d flows' % len(names) in tycho('evidence', 'verify', path))
    assert all(line.startswith('ok') for line in second(messages, [path]).values())
    subprocess.run(['tar', '--zstd', '-xf', path, '-C', str(tmp_path)], check=True)
    rows = []
    for table in sorted(glob.glob(str(tmp_path / 'nodes' / '1' / '*' / 'flows.csv'))):
        with open(table, newline='') as f:
            rows += list(csv.DictReader(f))
    want = ["'" + n if n[0] in '=+-@\t\r' else n for n in names]
    assert [r['source_pod'] for r in rows] == want and [r['source_namespace'] for r in rows] == want and [r['node'] for r in rows] == want
    report = (tmp_path / 'report.html').read_text()
    assert not re.search('<(script|img|svg)', report) and '&lt;img' in report


def test_what_is_redacted_is_nowhere_in_the_bundle_and_the_rest_is(recorded, tmp_path):
    addresses, labels, names, nodes = set(), set(), set(), set()
    with open(recorded, errors='replace') as f:
        for line in f:
            try:
                flow = json.loads(line)['flow']
                sides = [flow.get('source') or {}, flow.get('destination') or {}]
                addresses |= {v for k, v in (flow.get('IP') or {}).items() if k in ('source', 'destination')}
                labels |= {v for side in sides for v in side.get('labels') or [] if len(v.partition('=')[2]) > 12}
                names |= {v for side in ('source_names', 'destination_names') for v in flow.get(side) or []}
                nodes.add(flow.get('node_name', ''))
            except (ValueError, KeyError, AttributeError):  # not a flow, by intent
                pass
    labels = {v for v in labels if not v.startswith(('reserved:', 'cidr:', 'fqdn:'))}
    classes = {'ip': addresses - nodes, 'labels': labels, 'dns': names}
    paths = []
    with observer.Observer(path=recorded) as ob:
        wait_sealed(ob)
        for chosen in [], ['ip'], ['labels'], ['dns'], list(classes):
            paths.append(str(tmp_path / ('b-' + '-'.join(chosen))))
            # URLs hold names and addresses, and stay: docs/evidence.md
            exported(ob, paths[-1], '--not', '--protocol', 'http', *(['--redact', ','.join(chosen)] if chosen else []))
            text = subprocess.run(['zstd', '-dcq', paths[-1]], check=True, stdout=subprocess.PIPE).stdout.decode('latin-1')
            words = set(re.findall(r'[0-9A-Za-z:._-]+', text))
            for name, values in classes.items():
                seen = {v for v in values if v in (text if name == 'labels' else words)}
                assert not seen if name in chosen else len(seen) > len(values) * .8, (chosen, name, sorted(seen)[:5])
    assert tycho('evidence', 'verify', *paths).count('every flow is as it was signed') == 5


def test_an_export_says_what_redaction_does_not_reach(tmp_path):
    path = str(tmp_path / 'b')
    http = {'type': 'REQUEST', 'http': {'method': 'GET', 'url': 'http://10.0.0.2/', 'protocol': 'HTTP/1.1'}}
    filters = {'ip': ['--from-ip', '10.0.0.0/8'], 'labels': ['--label', 'k8s:app=cart'], 'dns': ['--not', '--to-fqdn', 'x.example'],
               'ip,dns': ['--cel-expression', '_flow.IP.source == "10.0.0.1"'], '': ['--from-ip', '10.0.0.1'],
               'ip,labels': ['--label', 'reserved:world', '--verdict', 'DROPPED']}
    named = {'ip': 'addresses', 'labels': 'labels', 'dns': 'DNS names', 'ip,dns': 'addresses, DNS names'}
    flows = [observer.flow(0), observer.flow(1, Type='L7', l7=http), observer.flow(2)]
    with observer.Observer(lines=flows) as ob:
        exported(ob, path, '--uuid', 'flow-2')
        for classes, words in filters.items():
            p = subprocess.run([TYCHO, 'evidence', 'export', '--overwrite', '--server', ob.socket, '-o', path, *words,
                                *(['--redact', classes] if classes else [])], check=True, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, timeout=60)
            said = [line for line in p.stderr.splitlines() if line.startswith('not redacted: ')]
            want = ['not redacted: the filters name %s, and stand in the bundle as they were given' % named[classes]] if classes in named else []
            if classes in ('ip', 'dns', 'ip,dns'):
                want.append('not redacted: URLs and headers of 1 HTTP record; --not --protocol http leaves them out')
            assert said == want, classes
            report = subprocess.run(['tar', '--zstd', '-xOf', path, 'report.html'], check=True, stdout=subprocess.PIPE, text=True).stdout
            assert ('the filters above name %s as' % named.get(classes, '-') in report) == (classes in named)
            assert ('URLs and headers of 1 HTTP record<' in report) == (classes in ('ip', 'dns', 'ip,dns'))
            assert ('were left out' in report) == bool(classes) != ('Their texts are in the bundle' in report)
    tycho('evidence', 'verify', path)


class Page(html.parser.HTMLParser):
    """What a browser makes of a page: its tags with their attributes, and its words."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words = set(), set(), []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.words.append(data)


def test_names_that_are_markup_are_words_in_the_report(tmp_path):
    bad = '</td></table><script>alert("1")</script><img src=x onerror=\'alert(2)\'>&lt;'
    path = str(tmp_path / 'b')
    party = {'namespace': bad, 'pod_name': bad, 'identity': 7, 'labels': [bad], 'workloads': [{'name': bad, 'kind': bad}]}
    denied = [{'name': bad, 'namespace': bad, 'kind': bad, 'labels': [bad]}]
    flows = [observer.flow(1, source=party, destination=party, node_name=bad, verdict='DROPPED', egress_denied_by=denied)]
    with observer.Observer('--node-name', '<script>', lines=flows) as ob:
        exported(ob, path)
    page = Page(subprocess.run(['tar', '--zstd', '-xOf', path, 'report.html'], check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert page.tags <= {'html', 'head', 'meta', 'title', 'style', 'body', 'header', 'div', 'h1', 'h2', 'p', 'b', 'span', 'dl', 'dt', 'dd',
                         'table', 'thead', 'tbody', 'tr', 'th', 'td', 'footer', 'code', 'br'}
    assert page.attributes <= {'lang', 'charset', 'http-equiv', 'content', 'class', 'colspan'}
    assert page.words.count(bad + '/' + bad) == 3  # from, to, by whom
    assert any(word.endswith('<script>') for word in page.words)  # the node


def test_a_store_without_its_checkpoints_is_signed_by_nobody(tmp_path):
    with observer.Observer('--evidence-key', str(tmp_path / 'key'), lines=[observer.flow(i) for i in range(5)]) as ob:
        exported(ob, str(tmp_path / 'b'))
        assert ob.stop() == 0
        (tmp_path / 'pem').write_text(tycho('evidence', 'keys', '--pem', str(tmp_path / 'key')).split('\n', 1)[1])
        words = ['store', 'verify', '--store', os.path.join(ob.folder, 'state')]
        signed = tycho(*words, '--pubkey', str(tmp_path / 'pem'))
        assert 'signed by checkpoints: ' in signed and 'signed by nobody' not in signed
        with contextlib.closing(sqlite3.connect(os.path.join(ob.folder, 'state', 'flows.db'))) as db, db:
            db.execute('DELETE FROM checkpoint')
        assert 'signed by nobody' in tycho(*words)
        assert 'nothing in it is signed by the key that was given' in tycho(*words, '--pubkey', str(tmp_path / 'pem'), code=1)


def test_a_key_that_took_anothers_place_is_told_and_both_are_wanted(tmp_path):
    prints, words = [], ['store', 'verify', '--store', str(tmp_path)]
    for name in 'first', 'second':
        key = str(tmp_path / name)
        with observer.Observer('--store', str(tmp_path), '--evidence-key', key, lines=[observer.flow(0)]) as ob:
            exported(ob, str(tmp_path / (name + '.tar.zst')))
            assert ob.stop() == 0
        prints.append(tycho('evidence', 'keys', key).split()[0])
    (tmp_path / 'first.pem').write_text(tycho('evidence', 'keys', '--pem', str(tmp_path / 'first')))
    said = tycho(*words, '--pubkey', prints[1], '--pubkey', str(tmp_path / 'first.pem'))
    assert said == tycho(*words) and 'by key %s\n  and before by 1 other key\n' % prints[1] in said
    assert json.loads(tycho(*words, '-o', 'json'))['other_keys'] == '1'
    for one, other in (0, 1), (1, 0):
        assert 'is not signed by a key that was given, but by ' + prints[other] in tycho(*words, '--pubkey', prints[one], code=1)
    assert 'is a private key' in tycho(*words, '--pubkey', str(tmp_path / 'first'), code=1)
    bundles = [str(tmp_path / (name + '.tar.zst')) for name in ('first', 'second')]
    tycho('evidence', 'verify', *bundles, '--pubkey', prints[0], '--pubkey', prints[1])


def test_an_export_says_whether_the_record_of_its_time_is_whole(tmp_path):
    path = str(tmp_path / 'b')
    with observer.Observer(lines=[observer.flow(i) for i in range(5)]) as ob:
        exported(ob, path, '--uuid', 'flow-4')  # the last: all are sealed
        for since, words in (0, 'complete: 1 node, since %s\n' % observer.stamp(0)), \
                (-60, 'incomplete: n0: nothing before %s, where its record begins\n' % observer.stamp(0)):
            p = subprocess.run([TYCHO, 'evidence', 'export', '--overwrite', '--server', ob.socket, '-o', path, '--since',
                                observer.stamp(since)], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
            assert (p.stdout, p.stderr) == (path + ': 5 flows of 1 node\n', words)
            said = tycho('evidence', 'verify', path)
            assert ('no gap known\n' in said) == (since == 0)
            assert ('but its record begins at %s' % observer.stamp(0)[:-1] in said) == (since < 0)
        tycho('evidence', 'export', '--overwrite', '--server', ob.socket, '-o', path, '--until', observer.stamp(-30))
        assert 'but its record begins behind the asked time, at ' in tycho('evidence', 'verify', path)


def test_an_observer_without_a_store_says_so(tmp_path):
    with observer.Observer('--store', 'off', lines=[observer.flow(1)]) as ob:
        assert 'keeps no history' in tycho('evidence', 'export', '--server', ob.socket, '-o', str(tmp_path / 'b'), code=1)
    assert not (tmp_path / 'b').exists()


def test_wrong_words_are_one_sentence(tmp_path):
    assert '--redact mac' in tycho('evidence', 'export', '--redact', 'mac', '-o', 'x', code=1)
    assert 'where is the bundle to go' in tycho('evidence', 'export', code=1)
    assert 'goes into a file' in tycho('evidence', 'export', '-o', '-', code=1)
    assert 'is no file' in tycho('evidence', 'export', '-o', '/dev/null', code=1)  # and nobody was asked: a device stays one
    assert '64 hex digits' in tycho('evidence', 'verify', 'x', '--pubkey', 'deadbeef', code=1)
    assert 'which bundle' in tycho('evidence', 'verify', code=1)
    (tmp_path / 'no').write_text('no bundle, but long enough to have a sum at its end, had it one')
    assert 'it is no zstd file' in tycho('evidence', 'verify', str(tmp_path / 'no'), code=1)
    other = subprocess.run(['zstd', '-qc'], input=b'a file of that kind, but ' * 9, stdout=subprocess.PIPE, check=True).stdout
    (tmp_path / 'no').write_bytes(other)
    assert 'no sum at the end, as every bundle has' in tycho('evidence', 'verify', str(tmp_path / 'no'), code=1)
    os.mkfifo(tmp_path / 'pipe')
    assert 'is no bundle' in tycho('evidence', 'verify', str(tmp_path / 'pipe'), code=1)  # nobody writes, nobody waits


def test_a_bundle_whose_disk_fails_is_not_read_to_its_end(recorded, tmp_path):
    small = tmp_path / 'small'
    small.mkdir()
    with disk.tmpfs(str(small), '4M'):
        bundle = str(small / 'b.tar.zst')
        with observer.Observer(path=recorded) as ob:
            wait_sealed(ob)
            exported(ob, bundle)
        tycho('evidence', 'verify', bundle)
        # a hole in the file, and no room for the page that would be there: what is mapped cannot be had, as on a broken disk
        subprocess.run(['fallocate', '-p', '-o', str(os.path.getsize(bundle) // 2 // 4096 * 4096), '-l', '4096', bundle], check=True)
        disk.fill(str(small))
        assert tycho('evidence', 'verify', bundle, code=1) == bundle + ': it cannot be read to its end: it was cut off meanwhile, or its disk fails\n'


def test_what_says_nothing_of_a_bundle_is_no_proof_of_it(tmp_path):
    bundles = [str(tmp_path / name) for name in ('b1', 'b2')]
    kept = [str(tmp_path / name) for name in ('kept1', 'kept2')]
    for bundle, lines in zip(bundles, kept, strict=True):
        with observer.Observer('--evidence-key', bundle + '.key', '--checkpoint-to', 'file:' + lines, lines=[observer.flow(0)]) as ob:
            exported(ob, bundle)
            assert ob.stop() == 0
    assert re.search('that agree: [1-9]', tycho('evidence', 'verify', bundles[0], '--checkpoints', kept[0]))
    assert 'it is held against none' in tycho('evidence', 'verify', bundles[0], '--checkpoints', kept[1], code=1)
    assert 'it is held against none' in tycho('evidence', 'verify', bundles[0], '--checkpoints', '/dev/null', code=1)
    assert 'is a private key' in tycho('evidence', 'verify', bundles[0], '--pubkey', bundles[0] + '.key', code=1)


# --- checkpoints sent away

class Secure(http.server.BaseHTTPRequestHandler):
    """Refuses the first, takes the rest."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length'])).decode()
        self.server.asked += 1
        if self.server.asked > 1:
            self.server.lines.append(body)
        self.send_response(204 if self.server.asked > 1 else 503)
        self.end_headers()

    def log_message(self, *args):
        pass


class Far(socketserver.StreamRequestHandler):
    """A syslog daemon: frames with their length in front."""

    def handle(self):
        length = b''
        while not length.endswith(b' '):
            length += self.rfile.read(1)
        frame = self.rfile.read(int(length)).decode()
        assert frame.startswith('<29>1 ') and self.rfile.read() == b''
        self.server.lines.append(frame + '\n')


class FarTLS(socketserver.ThreadingTCPServer):
    """… over TLS, for those who have a certificate of the same authority."""

    def __init__(self, context):
        self.context = context
        super().__init__(('127.0.0.1', 0), Far)

    def finish_request(self, request, client_address):
        with self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)
            secure.unwrap()

    def handle_error(self, request, client_address):
        pass  # handshakes that fail are the client's to tell


class Local(socketserver.BaseRequestHandler):
    def handle(self):
        self.server.lines.append(self.request[0].decode() + '\n')


class Datagram(Local):
    def handle(self):
        assert self.request[0].startswith(b'<29>1 ') and len(self.request[0]) <= 1180  # what all receivers take: RFC 5426, 3.2
        super().handle()


@pytest.fixture
def receivers(tmp_path):
    """{target: server}; what a server took is in its lines."""
    ca = pki.Authority(tmp_path, 'ca')
    pair = ca.issue('receiver')
    ca.issue('node')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    mutual = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca.cert)
    mutual.verify_mode = ssl.CERT_REQUIRED
    mutual.load_cert_chain(*pair)
    secure = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Secure)
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    far = socketserver.ThreadingTCPServer(('127.0.0.1', 0), Far)
    far_tls = FarTLS(mutual)
    local = socketserver.UnixDatagramServer(str(tmp_path / 'log'), Local)
    udp = socketserver.UDPServer(('127.0.0.1', 0), Datagram)
    made = {'https://localhost:%d/in' % secure.server_address[1]: secure, 'syslog://127.0.0.1:%d' % far.server_address[1]: far,
            'syslog+tls://localhost:%d' % far_tls.server_address[1]: far_tls, 'syslog:' + str(tmp_path / 'log'): local, 'syslog+udp://localhost:%d' % udp.server_address[1]: udp}
    for server in made.values():
        server.lines, server.asked = Heard(), 0
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    for server in made.values():
        server.shutdown()
        server.server_close()


def test_every_copy_of_the_checkpoints_proves_another_past_wrong(receivers, tmp_path):
    copies = {target: str(tmp_path / ('kept-%d' % i)) for i, target in enumerate(receivers)}
    copies['file:' + str(tmp_path / 'kept')] = str(tmp_path / 'kept')
    options = ['--evidence-key', str(tmp_path / 'key.pem')]
    targets = [word for target in copies for word in ('--checkpoint-to', target)]
    bundles = [str(tmp_path / name) for name in ('true', 'false')]
    with observer.Observer(*options, *targets, '--checkpoint-ca-file', str(tmp_path / 'ca.pem'), '--checkpoint-cert-file', str(tmp_path / 'node.pem'),
                           '--checkpoint-key-file', str(tmp_path / 'node.key'), '--metrics-listen', '127.0.0.1:0',
                           lines=[observer.flow(i) for i in range(20)]) as ob:
        exported(ob, bundles[0])
        Heard.wait(lambda: all(server.lines for server in receivers.values()))
        page = next(a for a in ob.addresses if a.startswith('metrics=')).replace('metrics=', 'http://') + '/metrics'

        def counts():
            return {line.split()[0]: float(line.split()[1]) for line in urllib.request.urlopen(page, timeout=20).read().decode().splitlines()
                    if line.startswith('tycho_checkpoints_')}

        until(lambda: counts()['tycho_checkpoints_sent_total'] >= len(copies))
        assert counts()['tycho_checkpoints_send_errors_total'] >= 1  # the 503
    kept = copies['file:' + str(tmp_path / 'kept')]
    with open(kept) as f:
        lines = f.readlines()
    assert len(lines) >= 2  # of the start and of the end, and of each minute
    for target, server in receivers.items():
        Heard.wait(lambda server=server: len(server.lines) >= len(lines))  # what has come, need not have been read yet
        # One that a receiver was slow to take comes again.
        assert list(dict.fromkeys(line[line.index('{'):] for line in server.lines)) == lines, target
        with open(copies[target], 'w') as f:
            f.writelines(server.lines)
    # Whoever owns the node has its key: makes another past, and signs it.
    with observer.Observer(*options, lines=[observer.flow(i, verdict='DROPPED') for i in range(20)]) as ob:
        exported(ob, bundles[1])
    assert 'every flow is as it was signed' in tycho('evidence', 'verify', bundles[1])
    for copy in copies.values():
        assert re.search('separately kept checkpoints that agree: [1-9]', tycho('evidence', 'verify', bundles[0], '--checkpoints', copy))
        assert 'a separately kept checkpoint' in tycho('evidence', 'verify', bundles[1], '--checkpoints', copy, code=1)


NOT_THE_ONE = {  # what is wrong: (authority that is believed, whose name the certificate has, our certificate, what the log says)
    'authority': ('other', 'DNS:localhost', 'node', 'certificate: (unable to get local issuer|self.signed) certificate'),
    'name': ('ca', 'DNS:elsewhere', 'node', 'certificate: [Hh]ostname mismatch'),
    'ours': ('ca', 'DNS:localhost', 'stranger', 'unknown ca|reset by peer'),
}


@pytest.mark.parametrize('wrong', NOT_THE_ONE)
def test_a_log_host_that_is_not_the_one_or_refuses_us_has_taken_nothing(wrong, tmp_path):
    believed, name, mine, why = NOT_THE_ONE[wrong]
    ca, other = pki.Authority(tmp_path, 'ca'), pki.Authority(tmp_path, 'other')
    ca.issue('node')
    other.issue('stranger')
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca.cert)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*ca.issue('receiver', san=name))
    with FarTLS(context) as far:
        far.lines = Heard()
        threading.Thread(target=far.serve_forever, daemon=True).start()
        with observer.Observer('--checkpoint-to', 'syslog+tls://localhost:%d' % far.server_address[1],
                               '--checkpoint-ca-file', str(tmp_path / (believed + '.pem')), '--checkpoint-cert-file', str(tmp_path / (mine + '.pem')),
                               '--checkpoint-key-file', str(tmp_path / (mine + '.key')), lines=[observer.flow(0)]) as ob:
            until(lambda: re.search('a checkpoint was not sent.*syslog at .*(%s)' % why, ob.log()))
            ob.stop(signal.SIGKILL)  # it would go on trying for a while
        far.shutdown()
        assert far.lines == []


def test_a_store_whose_past_was_made_anew_is_found_by_what_had_left_it(tmp_path):
    kept, others = str(tmp_path / 'kept'), str(tmp_path / 'others')
    keys = {name: ['--evidence-key', str(tmp_path / name)] for name in ('mine', 'stolen-or-not', 'of-another-node')}
    with observer.Observer('--node-name', 'n1', *keys['mine'], '--checkpoint-to', 'file:' + kept, lines=[observer.flow(i) for i in range(20)]) as ob:
        exported(ob, str(tmp_path / 'b'))
        state = os.path.join(ob.folder, 'state')
        with ob.client() as c:
            until(lambda: c.ServerStatus() and os.path.exists(kept))
        words = tycho('store', 'verify', '--store', state, '--checkpoints', kept)  # while it goes on
        assert re.search('separately kept checkpoints that agree: [1-9]', words)
        assert ob.stop() == 0
        with open(kept) as f:
            lines = f.readlines()
        own = len(lines)
        assert own >= 2  # of the start and of the end, and of each minute
        with observer.Observer('--node-name', 'n2', *keys['of-another-node'], '--checkpoint-to', 'file:' + others,
                               lines=[observer.flow(1)]) as other:
            assert other.stop() == 0
        with open(others) as f:
            lines += ['<29>1 syslog puts something before it: ' + line for line in f.readlines()]
        with open(kept, 'w') as f:
            f.writelines(lines)
        assert 'separately kept checkpoints that agree: %d' % own in tycho('store', 'verify', '--store', state, '--checkpoints', kept)
        assert 'none of the separately kept checkpoints is of this store' in \
            tycho('store', 'verify', '--store', state, '--checkpoints', others, code=1)
        with open(others, 'a') as f:
            f.write(lines[0].replace('"signature":"', '"signature":"00', 1)[:-5] + '\n')
        assert 'of the separately kept checkpoints is none' in tycho('store', 'verify', '--store', state, '--checkpoints', others, code=1)
        with open(others, 'w') as f:
            said = json.loads(lines[0])
            f.write(lines[0].replace(said['signature'], said['signature'][::-1]))
        assert 'line 1 of the separately kept checkpoints: the signature is wrong' in \
            tycho('store', 'verify', '--store', state, '--checkpoints', others, code=1)
        # cut off behind the first, as if nothing had been written since
        db = sqlite3.connect(os.path.join(state, 'flows.db'))
        db.execute('DELETE FROM checkpoint WHERE id = (SELECT max(id) FROM checkpoint)')
        db.execute('DELETE FROM entry WHERE kind = 4')
        db.commit()
        db.close()
        assert 'the record is whole' in tycho('store', 'verify', '--store', state)
        assert 'the tail of the chain is cut off' in tycho('store', 'verify', '--store', state, '--checkpoints', kept, code=1)
    # Whoever owns the node makes another past, with its key or with another one; and it goes on from there.
    for name in 'mine', 'stolen-or-not':
        with observer.Observer('--node-name', 'n1', *keys[name], lines=[observer.flow(i, verdict='DROPPED') for i in range(20)]) as ob:
            exported(ob, str(tmp_path / 'b'))
            state = os.path.join(ob.folder, 'state')
            assert 'the record is whole' in tycho('store', 'verify', '--store', state)
            words = tycho('store', 'verify', '--store', state, '--checkpoints', kept, code=1)
            assert 'the chain is not the one that was signed' in words or 'the tail of the chain is cut off' in words


def test_all_is_signed_when_it_ends_and_what_is_not_when_it_is_killed_is_said():
    with observer.Observer('--seal-period', '100ms') as ob:
        state = os.path.join(ob.folder, 'state')

        def more(first):
            ob.feed([observer.flow(i) for i in range(first, first + 10)])
            path = os.path.join(ob.folder, 'b.tar.zst')
            until(lambda: '%d flows' % (first + 10) in tycho('evidence', 'export', '--overwrite', '--server', ob.socket, '-o', path))

        more(0)
        assert ob.stop() == 0
        words = tycho('store', 'verify', '--store', state)
        assert 'the record is whole' in words and 'not signed' not in words
        ob.restart()
        more(10)
        ob.stop(signal.SIGKILL)
        words = tycho('store', 'verify', '--store', state)
        assert 'nothing was changed' in words and 'entries at its end that are not signed yet: ' in words
        ob.restart()
        assert ob.stop() == 0
        words = tycho('store', 'verify', '--store', state)
        assert 'nothing was changed' in words and 'not signed' not in words


# --- a store's own chain

@pytest.fixture(scope='session')
def store(tmp_path_factory):
    """A store of some blocks with a gap, closed, its last entries signed."""
    folder = str(tmp_path_factory.mktemp('store') / 'state')
    lost = json.dumps({'lost_events': {'source': 'PERF_EVENT_RING_BUFFER', 'num_events_lost': '17'}, 'node_name': 'n1',
                       'time': observer.stamp(5)})
    with observer.Observer('--seal-period', '100ms') as ob:
        for part in range(4):
            ob.feed([observer.flow(i) for i in range(part * 40, part * 40 + 40)] + ([lost] if part == 1 else []))
            path = os.path.join(ob.folder, 'b.tar.zst')
            until(lambda: '%d flows' % (part * 40 + 40) in tycho('evidence', 'export', '--overwrite', '--server', ob.socket, '-o', path))
        state = os.path.join(ob.folder, 'state')
        ob.stop()
        shutil.copytree(state, folder)
    assert 'nothing was changed' in tycho('store', 'verify', '--store', folder)
    return folder


def rows(folder, query):
    with contextlib.closing(sqlite3.connect(os.path.join(folder, 'flows.db'))) as db:
        return db.execute(query).fetchall()


def test_what_the_record_owns_up_to_be_missing_is_counted_and_no_fault(store):
    lost = {'count': '1', 'seconds': 0, 'lost': '17', 'lost_unknown': '0'}
    assert tycho('store', 'verify', '--store', store).startswith(store + ': nothing was changed, but the record has gaps: ')
    assert '\n  missing, by the record\'s own word: 1 gap of 0s, 17 records\n    kernel-lost: 1 gap of 0s, 17 records\n' in \
        tycho('store', 'verify', '--store', store)
    said = json.loads(tycho('store', 'verify', '--store', store, '-o', 'json'))
    assert said['whole'] is False and said['missing'] == lost and said['gaps'] == [{'cause': 'kernel-lost', **lost}]
    [numbers] = rows(store, 'SELECT min(number), max(number), sum(kind = 1), sum(count) FROM entry')
    assert [int(said[k]) for k in ('first_entry', 'last_entry', 'blocks', 'records')] == list(numbers)
    assert (said['store'], said['unsigned_entries'], len(said['key'])) == (store, '0', 64) and int(said['checkpoints']) >= 1
    # and of an observer that was away for a while, and stopped in good order
    with observer.Observer(lines=[]) as ob:
        state = os.path.join(ob.folder, 'state')
        ob.restart()
        assert ob.stop() == 0
        said = json.loads(tycho('store', 'verify', '--store', state, '-o', 'json'))
        [(cause, ns)] = rows(state, 'SELECT cause, to_ns - from_ns FROM gap')
        assert cause == 1 and round(said['missing']['seconds'] * 1e9) == ns
        assert said['gaps'] == [{'cause': 'observer-down', **said['missing']}] and said['missing']['lost_unknown'] == '1'
        assert ', nobody knows how many records\n' in tycho('store', 'verify', '--store', state)


def verdict(folder):
    done = subprocess.run([TYCHO, 'store', 'verify', '--store', folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60)
    return done.returncode, done.stdout.replace(folder, ''), done.stderr


CHANGES = {
    'an entry is gone': "DELETE FROM entry WHERE number = (SELECT number FROM entry WHERE kind = 1 LIMIT 1)",
    'the gap is gone from the chain': "DELETE FROM entry WHERE kind = 2",
    'the beginning is gone': "DELETE FROM entry WHERE number = 1",
    'the tail is gone': "DELETE FROM entry WHERE number > (SELECT max(entry) - 1 FROM checkpoint)",
    'a block counts less': "UPDATE entry SET count = count - 1 WHERE kind = 1",
    'a block was sealed at another time': "UPDATE entry SET sealed_ns = sealed_ns + 1 WHERE kind = 1",
    'a root is another': "UPDATE entry SET root = zeroblob(32) WHERE kind = 1",
    'a body is another': "UPDATE entry SET body = replace(body, '17', '18') WHERE kind = 2",
    'a hash is another': "UPDATE entry SET hash = zeroblob(32) WHERE number = 2",
    'two roots are swapped': "UPDATE entry SET root = (SELECT root FROM entry e WHERE e.kind = 1 AND e.number != entry.number LIMIT 1)"
                             " WHERE number IN (SELECT number FROM entry WHERE kind = 1 LIMIT 2)",
    'two bodies are swapped': "UPDATE entry SET body = (SELECT body FROM entry e WHERE e.kind != 1 AND e.number != entry.number LIMIT 1)"
                              " WHERE number IN (SELECT number FROM entry WHERE kind != 1 LIMIT 2)",
    'the records are gone': "DELETE FROM segment",
    'their bytes are gone': "DELETE FROM segment_data",
    'one segment is gone': "DELETE FROM segment WHERE first_seq = (SELECT min(first_seq) FROM segment)",
    'the bytes of two segments are swapped':
        "UPDATE segment_data SET data = (SELECT data FROM segment_data d WHERE d.first_seq != segment_data.first_seq LIMIT 1)"
        " WHERE first_seq = (SELECT max(first_seq) FROM segment_data)",
    'records are filed under other times': "UPDATE segment SET from_ns = 1, to_ns = 2",
    'a record is filed under no number': "UPDATE segment SET last_seq = last_seq - 1",
    'records are filed under other kinds': "UPDATE segment SET zone = (SELECT zone FROM segment ORDER BY length(zone) LIMIT 1)",
    'a gap is hidden': "DELETE FROM gap",
    'a gap is smaller': "UPDATE gap SET lost = 1 WHERE lost = 17",
    'a gap has another cause': "UPDATE gap SET cause = 0",
    'a gap was made up': "INSERT INTO gap (entry, cause, from_ns, to_ns, lost, first_seq, last_seq, node, detail)"
                         " VALUES (1, 1, 5, 6, 0, 0, 0, '', '')",
    'a checkpoint says another entry': "UPDATE checkpoint SET text = replace(text, '\"records\":\"', '\"records\":\"1')",
    'a signature is another': "UPDATE checkpoint SET signature = zeroblob(64)",
    'a key is another': "UPDATE checkpoint SET key = zeroblob(32)",
    'a pod has another name': "UPDATE endpoint SET wire = CAST(replace(CAST(wire AS TEXT), 'cart-0', 'cart-1') AS BLOB)",
    'the secret is another': "UPDATE meta SET value = zeroblob(32) WHERE name = 'secret'",
}


@pytest.mark.parametrize('change', CHANGES)
def test_a_changed_row_is_found(store, tmp_path, change):
    folder = str(tmp_path / 'state')
    shutil.copytree(store, folder)
    db = sqlite3.connect(os.path.join(folder, 'flows.db'))
    assert db.execute(CHANGES[change]).rowcount > 0
    db.commit()
    db.close()
    code, said, fault = verdict(folder)
    assert code == 1 and fault.strip(), said


def test_a_flipped_byte_anywhere_is_found_or_changes_nothing(store, tmp_path):
    """A file of SQLite has room that holds nothing, and tables that are not part of the record (docs/evidence.md)."""
    folder = str(tmp_path / 'state')
    shutil.copytree(store, folder)
    path = os.path.join(folder, 'flows.db')
    with open(path, 'rb') as f:
        whole = f.read()
    before = verdict(folder)
    found = 0
    for i in range(0, len(whole), max(1, len(whole) // 400)):
        flipped = bytearray(whole)
        flipped[i] ^= 1 << i % 8
        with open(path, 'wb') as f:
            f.write(flipped)
        after = verdict(folder)
        assert after[0] == 1 and after[2].strip() or after == before, 'byte %d: %s' % (i, after)
        found += after[0]
    assert found > 10
