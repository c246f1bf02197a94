"""The metrics endpoint of observer and relay as Prometheus and probes meet it; what the documents say of it."""
import contextlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import urllib.request

import pytest

import pki
import wire
from daemon import until
from observer import BIN, GOLDEN, Observer, flow, tycho
from prometheus import Prometheus, fetch, promtool

sys.path.insert(0, os.path.join(wire.ROOT, 'tests', 'golden'))
sys.path.insert(0, os.path.join(wire.ROOT, 'tests', 'relay'))
sys.path.append(os.path.join(wire.ROOT, 'tests', 'clickhouse'))
from archived import Archive  # noqa: E402
from cluster import Relay  # noqa: E402
from metrics import read_page  # noqa: E402

LABELS = 'labelsContext=source_namespace,destination_namespace'
USUAL = ' '.join(['dns:' + LABELS, 'drop:' + LABELS, 'tcp:' + LABELS, 'flow:' + LABELS, 'port-distribution:' + LABELS,
                  'icmp:' + LABELS, 'policy:' + LABELS, 'flows-to-world:port', 'kafka',
                  'httpV2:exemplars=true;labelsContext=source_namespace,source_workload,destination_namespace,'
                  'destination_workload,traffic_direction'])
DEPLOY = os.path.join(wire.ROOT, 'deploy')


def metrics_address(program):
    return 'http://' + next(a for a in program.addresses if a.startswith('metrics='))[len('metrics='):]


def observer(*options, **kw):
    return Observer('--metrics-listen', '127.0.0.1:0', *options, **kw)


def page_of(program, accept=''):
    status, headers, body = fetch(metrics_address(program) + '/metrics', {'Accept': accept})
    assert status == 200
    return headers, body.decode()


def golden_lines():
    with open(os.path.join(GOLDEN, 'metrics', 'flows.jsonl'), encoding='utf-8') as f:
        return f.read().splitlines()


def wait_counted(ob, n):
    """Until n records of the log are counted."""
    until(lambda: int(re.search(r'^tycho_metrics_records_total (\d+)$', page_of(ob)[1], re.M).group(1)) >= n)


@pytest.fixture(scope='module')
def full(tmp_path_factory):
    """An observer that has counted the recorded flows by every metric, and exports them; and a relay over it."""
    lines = golden_lines()
    exporters = tmp_path_factory.mktemp('exporters') / 'flowlogs.yaml'
    exporters.write_text('flowLogs: [{name: none, filePath: /dev/null}]')
    with contextlib.ExitStack() as stack:
        ob = stack.enter_context(observer('--metrics', USUAL, '--export-file-path', 'stdout', '--export-allowlist', '{"uuid":["none"]}',
                                          '--flowlogs-config-path', str(exporters), lines=lines))
        relay = stack.enter_context(Relay('--metrics-listen', '127.0.0.1:0', peers=['n0=' + ob.tcp]))
        relay.wait_states(n0=1)
        wait_counted(ob, len(lines))
        yield ob, relay


def test_pages_pass_promtool(full):
    for program in full:
        page_of(program)  # the second page tells of the first scrape
        _, text = page_of(program)
        code, said = promtool('check', 'metrics', text=text)
        # of a name that is Hubble's
        said = said.replace('hubble_dynamic_exporter_exporters_total non-counter metrics should not have "_total" suffix\n', '')
        assert said == '' and code in (0, 3)


def test_both_formats_say_the_same(full):
    """But for what moves between two scrapes."""
    ob, _ = full
    text, open_text = page_of(ob)[1], page_of(ob, 'application/openmetrics-text')[1]
    plain, openm = read_page(text), read_page(open_text)
    assert openm[2] and not plain[2]
    still = {k: v[0] for k, v in plain[1].items() if k[0].startswith('hubble_') and 'handler' not in k[0]}
    assert len(still) > 300
    assert {k: v[0] for k, v in openm[1].items() if k[0].startswith('hubble_') and 'handler' not in k[0]} == still
    assert any(x for _, x in openm[1].values()), 'exemplars'
    assert {n[:-len('_total')] if t == 'counter' and n.endswith('_total') else n: t for n, t in plain[0].items()} == openm[0]


def test_calls_are_counted_by_method(full):
    ob, _ = full

    def calls():
        _, samples, _ = read_page(page_of(ob)[1])
        return {(name, dict(labels)['grpc_method'], dict(labels).get('grpc_code')): v for (name, labels), (v, _) in
                samples.items() if name.startswith('grpc_server') and dict(labels)['grpc_service'] == 'observer.Observer'}

    before = calls()
    with ob.client() as c:
        assert len(list(c.GetFlows(number=3))) == 3
        c.GetNodes()
    until(lambda: calls()[('grpc_server_handled_total', 'GetNodes', 'OK')] > before[('grpc_server_handled_total', 'GetNodes', 'OK')])
    after = calls()
    moved = {k: v - before.get(k, 0) for k, v in after.items() if k[1] in ('GetFlows', 'GetNodes')}
    assert {k: v for k, v in moved.items() if v} == {
        ('grpc_server_started_total', 'GetFlows', None): 1, ('grpc_server_msg_received_total', 'GetFlows', None): 1,
        ('grpc_server_msg_sent_total', 'GetFlows', None): 3, ('grpc_server_handled_total', 'GetFlows', 'OK'): 1,
        ('grpc_server_started_total', 'GetNodes', None): 1, ('grpc_server_msg_received_total', 'GetNodes', None): 1,
        ('grpc_server_msg_sent_total', 'GetNodes', None): 1, ('grpc_server_handled_total', 'GetNodes', 'OK'): 1}


def test_probes_say_ok_and_a_relay_without_peers_is_not_ready():
    with observer(lines=[flow(1)]) as ob:
        for path in ('/healthz', '/readyz'):
            assert fetch(metrics_address(ob) + path)[::2] == (200, b'ok\n')
    with Relay('--metrics-listen', '127.0.0.1:0', peers=['n=127.0.0.1:1']) as relay:
        relay.wait_states(n=2)
        assert fetch(metrics_address(relay) + '/readyz')[::2] == (503, b'no peer is available\n')
        assert fetch(metrics_address(relay) + '/healthz')[0] == 200


# --- TLS and passwords ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    class Made:
        pass
    m = Made()
    m.ca = pki.Authority(tmp_path_factory.mktemp('metrics-ca'), 'ours')
    m.server, m.second, m.client = m.ca.issue('server'), m.ca.issue('second'), m.ca.issue('client', san='DNS:client')
    return m


def fetch_tls(url, ca, client=None, headers=None):
    context = ssl.create_default_context(cafile=ca)
    if client:
        context.load_cert_chain(*client)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(urllib.request.Request(url, headers=headers or {}), timeout=20) as r:
        return r.status, r.read()


def serial(url, ca):
    host, port = re.match(r'https://(.*):(\d+)', url).groups()
    context = ssl.create_default_context(cafile=ca)
    import socket
    with socket.create_connection((host, int(port)), timeout=20) as raw, context.wrap_socket(raw, server_hostname=host) as s:
        return s.getpeercert()['serialNumber'], s.version()


def secure(program):
    return metrics_address(program).replace('http:', 'https:')


def test_tls_is_1_3_and_a_new_certificate_is_taken_without_a_restart(made, tmp_path):
    cert, key = str(tmp_path / 'cert.pem'), str(tmp_path / 'key.pem')

    def install(pair):
        for source, target in zip(pair, (cert, key)):
            shutil.copy(source, target + '.new')
            os.rename(target + '.new', target)

    install(made.server)
    with observer('--metrics-tls-cert-file', cert, '--metrics-tls-key-file', key, lines=[flow(1)]) as ob:
        first, version = serial(secure(ob), made.ca.cert)
        assert version == 'TLSv1.3'
        status, body = fetch_tls(secure(ob) + '/metrics', made.ca.cert)
        assert status == 200
        end = re.search(r'^tycho_certificate_expiry_timestamp_seconds\{file="(.*)"\} (\d+)$', body.decode(), re.M)
        assert end.groups() == (cert, '4102444799')  # 2099-12-31T23:59:59Z, as it was issued
        install(made.second)
        assert serial(secure(ob), made.ca.cert)[0] != first
        with open(cert, 'w') as f:
            f.write('nonsense')
        second = serial(secure(ob), made.ca.cert)[0]  # the old one stays
        assert second != first
        assert 'new certificate is broken, keeping the old one' in ob.log()


def test_a_client_certificate_is_demanded_when_asked_for(made):
    cert, key = made.server
    with observer('--metrics-tls-cert-file', cert, '--metrics-tls-key-file', key, '--metrics-tls-client-ca-file', made.ca.cert,
                  lines=[flow(1)]) as ob:
        with pytest.raises(OSError):
            fetch_tls(secure(ob) + '/metrics', made.ca.cert)
        assert fetch_tls(secure(ob) + '/metrics', made.ca.cert, client=made.client)[0] == 200


def hash_of(password):
    return subprocess.run(['openssl', 'passwd', '-6', password], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def test_prometheus_scrapes_with_password_over_tls(made, tmp_path):
    cert, key = made.server
    users = tmp_path / 'users'
    users.write_text('prometheus:%s\n' % hash_of('correct horse'))
    with observer('--metrics-tls-cert-file', cert, '--metrics-tls-key-file', key, '--metrics-users-file', str(users),
                  lines=[flow(1)]) as ob:
        target = secure(ob)[len('https://'):]

        def job(password):
            return {'scheme': 'https', 'tls_config': {'ca_file': made.ca.cert},
                    'basic_auth': {'username': 'prometheus', 'password': password}, 'static_configs': [{'targets': [target]}]}

        with Prometheus({'right': job('correct horse'), 'wrong': job('battery staple')}) as p:
            p.wait('up{job="right"}', lambda r: 1.0 in r.values())
            p.wait('count_over_time(up{job="wrong"}[1m])', lambda r: any(v >= 2 for v in r.values()))
            assert set(p.query('max_over_time(up{job="wrong"}[1m])').values()) == {0.0}


@pytest.mark.parametrize('options, sentence', [
    (['--metrics', 'flow:sourceContext=x'], "--metrics: unable to initialize metric 'flow': unknown context 'x'"),
    (['--metrics', 'flow', '--metrics-config', '/x'], '--metrics and --metrics-config exclude each other'),
    (['--metrics-listen', '0.0.0.0:0'], '--metrics-listen 0.0.0.0:0: plain text on an address that others can reach'),
    (['--metrics-listen', 'localhost:x'], "metrics on 'localhost:x'"),
    (['--metrics-tls-cert-file', '/x', '--metrics-listen', '127.0.0.1:0'], 'are needed together'),
    (['--metrics-users-file', '/x'], '--metrics-users-file needs --metrics-listen'),
    (['--metrics-users-file', '/nonexistent/x', '--metrics-listen', '127.0.0.1:0'], "open the users file '/nonexistent/x'"),
    (['--metrics-config', '/nonexistent/x'], "'/nonexistent/x'"),
    (['--metrics-series', '3'], 'a number of series from 64 to 1000000'),
])
def test_what_cannot_be_is_refused_with_one_sentence(options, sentence, tmp_path):
    p = subprocess.run([os.path.join(BIN, 'tycho-observer'), '--no-bpf', '--replay', '/dev/null', '--listen',
                        'unix://%s/s' % tmp_path, '--state-dir', str(tmp_path), *options], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, timeout=30)
    assert p.returncode == 1
    said = [line for line in p.stderr.splitlines() if line.startswith('tycho-observer: ')]
    assert len(said) == 1 and sentence in said[0], p.stderr


# --- the file that may change --------------------------------------------------------------------------------------------


def test_the_file_is_followed(tmp_path):
    path = tmp_path / 'metrics.yaml'

    def say(text):
        (tmp_path / 'new').write_text(text)
        os.rename(tmp_path / 'new', path)

    def reloads(outcome):
        return int(re.search(r'^tycho_metrics_reloads_total\{outcome="%s"\} (\d+)$' % outcome, page_of(ob)[1], re.M).group(1))

    with observer('--metrics-config', str(path)) as ob:  # it need not be there yet
        assert 'hubble_drop_total' not in page_of(ob)[1]
        say('metrics: [{name: flow}]')
        until(lambda: reloads('good'))
        ob.feed([flow(1), flow(2)])
        wait_counted(ob, 3)
        assert re.search(r'^hubble_flows_processed_total\{.*\} 2$', page_of(ob)[1], re.M)
        bad = reloads('bad')
        say('metrics: [{name: ')
        until(lambda: reloads('bad') > bad)
        ob.feed([flow(3)])
        wait_counted(ob, 4)
        assert re.search(r'^hubble_flows_processed_total\{.*\} 3$', page_of(ob)[1], re.M)
        assert 'metrics not configured anew; the old ones stay' in ob.log()


def test_series_of_a_pod_that_is_gone_are_told_until_then(tmp_path):
    """The minute itself is a unit test's (gone); here: a pod that stays is left alone."""
    endpoints = tmp_path / 'endpoints.yaml'
    endpoints.write_text('endpoints:\n- {ip: 10.0.0.1, namespace: shop, pod: cart-0}\n')
    with observer('--metrics', 'flow:sourceContext=pod', '--endpoints', str(endpoints), lines=[flow(1)]) as ob:
        wait_counted(ob, 2)
        assert 'source="shop/cart-0"' in page_of(ob)[1]


# --- what the documents and dashboards say -------------------------------------------------------------------------------


def documented():
    """{name: (type, labels)} of the tables of docs/metrics.md; labels None where Hubble's options make them."""
    with open(os.path.join(wire.ROOT, 'docs', 'metrics.md'), encoding='utf-8') as f:
        rows = [(name, kind, labels) for names, kind, labels in
                re.findall(r'^\| ((?:`\w+`(?:, )?)+) \| (counter|gauge|histogram) \| (.*?) \|', f.read(), re.M)
                for name in re.findall(r'\w+', names)]
    assert len({name for name, _, _ in rows}) == len(rows), 'a metric twice'
    return {name: (kind, None if '…' in labels else set(re.findall(r'`(\w+)`', labels))) for name, kind, labels in rows}


def families(text):
    types, samples, _ = read_page(text)
    labels = {name: set() for name in types}
    for name, pairs in samples:
        family = next(n for n in (name, re.sub(r'_(bucket|sum|count)$', '', name)) if n in types)
        labels[family] |= {k for k, _ in pairs if k != 'le'}
    return {name: (types[name], labels[name]) for name in types}


def test_every_metric_is_documented_with_type_and_labels(full):
    table, told = documented(), {}
    for program in full:
        page_of(program)
        told.update(families(page_of(program)[1]))
    for name, (kind, labels) in told.items():
        assert name in table, '%s is not in docs/metrics.md' % name
        assert table[name][0] == kind, name
        if table[name][1] is not None:
            assert table[name][1] == labels, name
    # and what the table has beside: other sources', other configurations' and a certificate's
    source = ''
    for folder in ('lib/metrics', 'observer', 'relay'):
        for where, _, names in os.walk(os.path.join(wire.ROOT, folder)):
            for name in names:
                if name.endswith('.c'):
                    with open(os.path.join(where, name), encoding='utf-8') as f:
                        source += f.read()
    for name in set(table) - set(told):
        assert '"%s"' % name in source or '"%s"' % name.replace('tycho_source_', '') in source, name


def dashboards():
    folder = os.path.join(DEPLOY, 'grafana')
    for name in sorted(os.listdir(folder)):
        if name.endswith('.json'):
            with open(os.path.join(folder, name), encoding='utf-8') as f:
                yield name, json.load(f)


def expressions():
    for name, board in dashboards():
        for panel in board['panels']:
            for target in panel['targets']:
                yield name, panel['title'], target['expr']


# Right to be empty here: nothing fires, no TLS, no kernel programs (tests/lab has them).
MAY_BE_EMPTY = re.compile(r'ALERTS|tycho_certificate|tycho_source_(trace|verdict)_ring|increase\(hubble_http_requests_total')


NO_CLICKHOUSE = 'http://127.0.0.1:1/none'  # figures are there without one, too


def test_every_query_of_every_dashboard_finds_something(full, tmp_path):
    """Against a real Prometheus with the real rules, while flows come in."""
    exporters = tmp_path / 'flowlogs.yaml'
    exporters.write_text('flowLogs: [{name: none, filePath: /dev/null}]')
    relay_target = metrics_address(full[1])[len('http://'):]
    rules = os.path.join(DEPLOY, 'prometheus', 'tycho.rules.yaml')
    # what an HTTP proxy and a policy engine would report, beside the recorded flows
    lines = golden_lines() + [flow(1, verdict='DROPPED', event_type={'type': 5}, ingress_denied_by=[{'name': 'db-only', 'namespace': 'shop'}])]
    with observer('--metrics', USUAL, '--flowlogs-config-path', str(exporters), '--clickhouse', NO_CLICKHOUSE) as ob, \
            Archive(NO_CLICKHOUSE) as archive, \
            Prometheus({'tycho-observer': [metrics_address(ob)[len('http://'):]], 'tycho-relay': [relay_target, archive.metrics]}, rules=[rules]) as p:
        for n in range(1, 4):  # a rate needs a value to rise from
            ob.feed(lines)
            p.wait('tycho_metrics_records_total{job="tycho-observer"}', lambda r: any(v >= n * len(lines) for v in r.values()))
        p.wait('tycho_relay_peers', lambda r: r)
        p.wait('rate(tycho_relay_clickhouse_queries_total[1m])', lambda r: r)
        p.wait('namespace:hubble_drop:rate5m > 0', lambda r: r)
        empty = []
        for board, title, expr in expressions():
            asked = expr.replace('$__rate_interval', '1m').replace('$namespace', '.*').replace('$instance', '.*')
            if not p.query(asked) and not MAY_BE_EMPTY.search(asked):
                empty.append((board, title, asked))
        assert not empty
        for _, board in dashboards():
            for variable in board['templating']['list']:
                if variable['type'] == 'query':
                    metric, label = re.match(r'label_values\((.*), (\w+)\)$', variable['definition']).groups()
                    assert any(dict(k).get(label) for k in p.query(metric)), variable['definition']


def test_dashboards_name_only_metrics_that_are_documented():
    known = set(documented()) | {'namespace:hubble_drop:rate5m', 'policy:tycho_denied:rate5m', 'ALERTS'}
    for board, title, expr in expressions():
        for name in re.findall(r'\b((?:hubble|tycho|grpc_server|process)_\w+|ALERTS|\w+:\w+:\w+)', re.sub(r'"[^"]*"', '', expr)):
            assert name in known or re.sub(r'_(bucket|sum|count)$', '', name) in known, (board, title, name)


def test_panels_of_a_dashboard_stand_beside_each_other():
    for name, board in dashboards():
        taken = set()
        assert len({p['id'] for p in board['panels']}) == len(board['panels'])
        for panel in board['panels']:
            at = panel['gridPos']
            cells = {(x, y) for x in range(at['x'], at['x'] + at['w']) for y in range(at['y'], at['y'] + at['h'])}
            assert at['x'] + at['w'] <= 24 and not cells & taken, (name, panel['title'])
            taken |= cells


@pytest.mark.parametrize('words', [['check', 'rules', 'tycho.rules.yaml'], ['check', 'config', 'prometheus.yaml'],
                                   ['test', 'rules', 'tycho.rules.test.yaml'], ['test', 'rules', 'tycho.past.test.yaml']])
def test_rules_hold(words):
    p = subprocess.run(['promtool', *words], cwd=os.path.join(DEPLOY, 'prometheus'), stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=120)
    assert p.returncode == 0, p.stdout


def test_every_alert_is_in_the_table_of_what_to_do():
    with open(os.path.join(DEPLOY, 'prometheus', 'tycho.rules.yaml'), encoding='utf-8') as f:
        alerts = re.findall(r'^  - alert: (\w+)', f.read(), re.M)
    with open(os.path.join(wire.ROOT, 'docs', 'metrics.md'), encoding='utf-8') as f:
        rows = re.findall(r'^\| ((?:`Tycho\w+`(?:, )?)+) \|', f.read(), re.M)
    assert sorted(alerts) == sorted(name for row in rows for name in re.findall(r'\w+', row))


def test_rules_name_only_metrics_that_are_documented():
    with open(os.path.join(DEPLOY, 'prometheus', 'tycho.rules.yaml'), encoding='utf-8') as f:
        text = f.read()
    known = set(documented())
    for name in re.findall(r'\b((?:hubble|tycho)_\w+?)(?:_bucket)?[{\[ )]', text):
        assert name in known or name in ('hubble_drop', 'tycho_denied', 'tycho_gaps'), name


def test_the_example_of_the_unit_is_a_configuration_that_works():
    """What docs/metrics.md proposes as TYCHO_OBSERVER_OPTIONS."""
    with open(os.path.join(wire.ROOT, 'docs', 'metrics.md'), encoding='utf-8') as f:
        proposed = re.search(r"--metrics '([^']*)'", f.read()).group(1)
    with observer('--metrics', proposed.replace('\\\n', ' '), lines=golden_lines()) as ob:
        wait_counted(ob, len(golden_lines()))
        assert 'destination_namespace="prod"' in page_of(ob)[1]
        assert 'is left out' not in ob.log()


def test_up_and_the_command_line_need_no_metrics(tmp_path):
    with Observer(lines=[flow(1)]) as ob:
        assert not any(a.startswith('metrics=') for a in ob.addresses)
        assert tycho('status', '--server', ob.tcp, check=0)
