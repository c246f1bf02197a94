"""What observers ship to ClickHouse: all of it, once, whatever happens in between."""
import base64
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import urllib.request

import pytest

import wire
from clickhouse import PASSWORD, ClickHouse, Failed, Proxy, free_ports
from daemon import BIN, until
from observer import Observer, flow, golden, tycho
from pki import Authority


def shipper(url, *options, **kw):
    return Observer('--clickhouse', url, '--clickhouse-period', '1s', '--seal-period', '100ms', *options, **kw)


def wait(db, ob, n):
    until(lambda: db.flows() >= n, fault=lambda: '%d of %d flows are there: %s' % (db.flows(), n, ob.log()))


def check_once(db, n):
    """n flows that flow() made are there, each once."""
    assert db.ask("SELECT count(), uniqExact(uuid), uniqExact(seq) FROM tycho_flows WHERE kind = 'flow'") == '%d\t%d\t%d' % (n, n, n)


def rows(db, columns, where='1'):
    answer = db.ask('SELECT %s FROM tycho_flows WHERE %s ORDER BY seq FORMAT JSONCompact' % (columns, where))
    return json.loads(answer)['data']


def responses(db):
    """The last column, as messages."""
    data, at, found = db.raw('SELECT response FROM tycho_flows ORDER BY seq FORMAT RowBinary'), 0, []
    while at < len(data):
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                break
        found.append(wire.GetFlowsResponse.FromString(data[at:at + n]))
        at += n
    return found


# --- what is in the rows


def test_every_record_is_there_once_as_the_observer_itself_gives_it_out(db):
    with shipper(db.url, path=golden('synthetic.jsonl')) as ob:
        ob.wait_replayed()
        with ob.client() as c:
            own = list(c.GetFlows(number=wire.ALL))
        until(lambda: db.ask("EXISTS tycho_flows") == '1' and db.number('SELECT count() FROM tycho_flows') >= len(own), fault=ob.log)
        shipped = responses(db)
        assert len(shipped) == len(own)
        for a, b in zip(shipped, own):
            assert a == b
        assert db.ask('SELECT uniqExact(seq) = count(), uniqExact(node), any(node) FROM tycho_flows') == '1\t1\tn0'
        assert db.number("SELECT count() FROM tycho_flows WHERE kind = 'lost_events'") == sum(r.HasField('lost_events') for r in own)


SAME = ['uuid', 'verdict', 'drop_reason_desc', 'type', 'node_name', 'source_ip', 'source_port', 'source_identity', 'source_cluster',
        'source_namespace', 'source_pod', 'source_workload', 'source_service', 'destination_ip', 'destination_port',
        'destination_identity', 'destination_cluster', 'destination_namespace', 'destination_pod', 'destination_workload',
        'destination_service', 'ip_version', 'protocol', 'tcp_flags', 'traffic_direction', 'is_reply', 'trace_observation_point',
        'trace_reason', 'event_type', 'event_sub_type', 'interface', 'interface_index', 'encrypted', 'packets', 'bytes', 'netns',
        'kernel_drop_reason', 'summary']
LISTS = ['source_names', 'destination_names', 'policies']
LABELS = ['source_labels', 'destination_labels']


def test_columns_say_what_those_of_the_local_table_say(db, tmp_path):
    with shipper(db.url, '--store', str(tmp_path), path=golden('synthetic.jsonl')) as ob:
        ob.wait_replayed()
    names = ['seq'] + SAME + LISTS + LABELS
    p = tycho('sql', '--store', str(tmp_path), '--limit', '0', '-o', 'json',
              "select %s from flows where kind = 'flow' order by seq" % ', '.join(names), check=0)
    local = [json.loads(line) for line in p.stdout.splitlines()]
    shipped = rows(db, ', '.join(names), "kind = 'flow'")
    assert len(local) == len(shipped) > 2000
    for own, row in zip(local, shipped):
        there = dict(zip(names, row))
        assert int(own['seq']) == int(there['seq'])
        for name in SAME:
            if name == 'is_reply':
                assert own[name] == there[name]
            elif name in ('packets', 'bytes') or isinstance(there[name], int):
                assert int(own[name] or 0) == int(there[name]), name
            else:
                assert (own[name] or '') == there[name], name
        for name in LISTS:
            assert (own[name] or '') == ','.join(there[name]), name
        for name in LABELS:
            assert json.loads(own[name] or '[]') == there[name], name


def test_columns_of_layer_7_say_what_the_flow_says(db):
    l7 = [
        {'type': 'REQUEST', 'dns': {'query': "o'hara.example.", 'qtypes': ['A']}},
        {'type': 'RESPONSE', 'latency_ns': '1500', 'dns': {'query': 'x.example.', 'rcode': 3}},
        {'type': 'RESPONSE', 'latency_ns': '77', 'http': {'code': 503, 'method': 'GET', 'url': 'http://a/b?c', 'protocol': 'HTTP/1.1'}},
    ]
    with shipper(db.url, lines=[flow(i, Type='L7', l7=part) for i, part in enumerate(l7)] + [flow(3)]) as ob:
        wait(db, ob, 4)
    assert rows(db, 'l7_type, l7_latency_ns, dns_query, dns_rcode, http_method, http_url, http_code, http_protocol') == [
        ['REQUEST', '0', "o'hara.example.", 0, '', '', 0, ''],
        ['RESPONSE', '1500', 'x.example.', 3, '', '', 0, ''],
        ['RESPONSE', '77', '', 0, 'GET', 'http://a/b?c', 503, 'HTTP/1.1'],
        ['', '0', '', 0, '', '', 0, ''],
    ]


def test_each_insert_is_of_one_day_however_times_jump(db):
    day = 86400
    when = [0, 1, 5 * day, 2, 3, 4 * day - 1, 4 * day]
    with shipper(db.url, lines=[flow(i) for i in when]) as ob:
        wait(db, ob, len(when))
    # a part is what one INSERT put into one partition; merged ones are told by their level
    assert db.number("SELECT count() FROM system.parts WHERE database = '%s' AND table = 'tycho_flows' AND active" % db.name) >= 3
    assert sorted(int(s) for (s,) in rows(db, 'intDiv(time_ns, 1000000000) - 1700000000')) == sorted(when)
    assert rows(db, 'toUnixTimestamp(time) - 1700000000') == [[str(s)] for s in when]


# --- whatever happens in between


def test_clickhouse_that_is_killed_and_comes_back_has_everything_once():
    batches, size = 6, 400
    with ClickHouse() as ch, shipper('http://127.0.0.1:%d' % ch.http) as ob:
        db = ch.database('default')
        for n in range(batches):
            ob.feed(flow(n * size + i) for i in range(size))
            if n % 2:
                ch.kill()
                ch.start()
            else:
                wait(db, ob, 1)
        wait(db, ob, batches * size)
        check_once(db, batches * size)


def test_an_observer_that_is_killed_goes_on_where_it_was(db):
    rounds, size, sent = 4, 500, 0
    with shipper(db.url) as ob:
        for n in range(rounds):
            ob.feed(flow(sent + i) for i in range(size))
            ob.wait_seen(size)
            sent += size
            # sealed, so that the kill loses none: the store is asked, not ClickHouse, which may be at anything by then
            until(lambda: is_sealed(ob, sent), fault=ob.log)
            ob.restart(sig=signal.SIGKILL)
        wait(db, ob, sent)
        check_once(db, sent)


def is_sealed(ob, n):
    p = tycho('sql', '--store', ob.folder + '/state', '-o', 'json', "select count(*) as n from flows where kind = 'flow'")
    return p.returncode == 0 and int(json.loads(p.stdout)['n']) >= n


def test_answers_that_are_cut_off_make_no_duplicate(db, server):
    with Proxy(server.http, cut_inserts=3) as proxy, shipper(db.url_at(proxy.port)) as ob:
        for n in range(4):
            ob.feed(flow(n * 100 + i) for i in range(100))
            wait(db, ob, n * 100 + 100)
        until(lambda: 'shipped to ClickHouse again' in ob.log() or 'msg="flows are shipped to ClickHouse"' in ob.log(), fault=ob.log)
        assert proxy.cuts == 3
        check_once(db, 400)
        assert db.number('SELECT uniqExact(entry) = count() FROM tycho_gaps') == 1


def test_what_came_while_clickhouse_was_away_is_sent_when_it_is_there(tmp_path):
    [port] = free_ports(1)
    with shipper('http://127.0.0.1:%d' % port, lines=[flow(i) for i in range(50)]) as ob:
        until(lambda: 'flows are not shipped to ClickHouse' in ob.log(), fault=ob.log)
        assert ob.log().count('flows are not shipped to ClickHouse') == 1
        ob.wait_replayed()
        with ob.client() as c:
            assert len(list(c.GetFlows(number=50))) == 50
        assert ob.stop() == 0
        with ClickHouse() as ch:
            ob.options[ob.options.index('http://127.0.0.1:%d' % port)] = 'http://127.0.0.1:%d' % ch.http
            ob.path = None
            with ob:
                ob.feed([flow(50)])
                db = ch.database('default')
                wait(db, ob, 51)
                check_once(db, 51)


def test_what_is_sealed_last_is_sent_at_the_end(db):
    with shipper(db.url, '--clickhouse-period', '1h') as ob:
        until(lambda: 'flows are shipped to ClickHouse' in ob.log(), fault=ob.log)
        ob.feed(flow(i) for i in range(20))
        ob.wait_seen(20)
        assert ob.stop() == 0
        check_once(db, 20)


def large_flow(i):
    """Of some 2 KB that do not compress well, so that few fill the smallest store."""
    url = 'http://a/' + base64.urlsafe_b64encode(random.Random(i).randbytes(1500)).decode()
    return flow(i, Type='L7', l7={'type': 'REQUEST', 'http': {'method': 'GET', 'url': url}})


def test_an_insert_that_still_runs_is_waited_for(db, server):
    size = 1000
    with shipper('http://127.0.0.1:1') as ob, Proxy(server.http, hold_inserts=1) as proxy:
        ob.feed(large_flow(i) for i in range(size))
        ob.wait_seen(size)
        ob.stop()
        ob.options[ob.options.index('http://127.0.0.1:1')] = db.url_at(proxy.port)
        ob.path = None
        with ob:
            wait(db, ob, size)
            assert ob.log().count('flows are not shipped to ClickHouse') == 2, 'before, and when its connection was cut: not while it ran'
        assert proxy.holds == 1 and proxy.refused.is_set()
    check_once(db, size)


def test_what_retention_removed_first_is_a_gap_that_readers_see():
    [port] = free_ports(1)
    with ClickHouse() as ch, Proxy(ch.http) as proxy:
        proxy.refuse = True
        db = ch.database('default')
        with shipper('http://127.0.0.1:%d' % proxy.port, '--retention-size', '16M', '--metrics-listen', '127.0.0.1:%d' % port) as ob:
            for n in range(0, 40000, 2000):  # no more than the log can hold until the store has it
                ob.feed(large_flow(i) for i in range(n, n + 2000))
                until(lambda: metric(port, 'tycho_store_put_records_total') >= n + 2000, fault=ob.log)
                if metric(port, 'tycho_store_pruned_records_total'):
                    break
            until(lambda: metric(port, 'tycho_store_pruned_records_total') > 0, fault=ob.log)
            proxy.refuse = False
            until(lambda: metric(port, 'tycho_clickhouse_up') == 1 and metric(port, 'tycho_clickhouse_waiting_records') == 0, fault=ob.log)
            assert metric(port, 'tycho_clickhouse_lost_gaps_total') >= 1
            assert 'history was removed by retention before it could be shipped' in ob.log()
            [gap] = json.loads(db.ask("SELECT node, entry - 9223372036854775808, first_seq, last_seq, lost FROM tycho_gaps"
                                      " WHERE cause = 'not-shipped' FORMAT JSONCompact"))['data']
            node, entry, first, last, lost = gap[0], *map(int, gap[1:])
            assert node == 'n0' and entry == first <= last
            assert lost in (0, last - first + 1)
            # behind it nothing is missing: the numbers of one run follow one another
            assert db.ask('SELECT min(seq), uniqExact(seq) = count() FROM tycho_flows') == '%d\t1' % (last + 1)
            assert metric(port, 'tycho_clickhouse_shipped_records_total') == db.number('SELECT count() FROM tycho_flows')


def metric(port, name):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open('http://127.0.0.1:%d/metrics' % port, timeout=30) as answer:
        found = re.search('^%s ([0-9.e+]+)$' % name, answer.read().decode(), re.M)
    return float(found[1]) if found else 0


# --- over TLS


def test_over_tls_the_server_must_prove_itself(tmp_path):
    ours, others = Authority(tmp_path, 'ours'), Authority(tmp_path, 'others')
    with ClickHouse(authority=ours) as ch:
        url = 'https://localhost:%d/default' % ch.https
        with shipper(url, '--clickhouse-ca-file', others.cert, lines=[flow(0)]) as ob:
            until(lambda: 'SSL certificate problem' in ob.log(), fault=ob.log)
        with shipper(url, '--clickhouse-ca-file', ours.cert, lines=[flow(1)]) as ob:
            wait(ch.database('default'), ob, 1)
        assert ch.ask('SELECT uuid FROM tycho_flows') == 'flow-1'


def test_over_tls_we_prove_ourselves_where_that_is_asked_for(tmp_path):
    ca = Authority(tmp_path, 'ca')
    cert, key = ca.issue('observer')
    with ClickHouse(authority=ca, mutual=True) as ch:
        options = ['https://localhost:%d' % ch.https, '--clickhouse-ca-file', ca.cert]
        with shipper(*options, lines=[flow(0)]) as ob:
            until(lambda: 'flows are not shipped' in ob.log(), fault=ob.log)
        with shipper(*options, '--clickhouse-cert-file', cert, '--clickhouse-key-file', key, lines=[flow(1)]) as ob:
            wait(ch.database('default'), ob, 1)
        assert ch.ask('SELECT uuid FROM tycho_flows') == 'flow-1'


# --- servers that do not let us, or are none


def test_a_user_and_a_password_with_anything_in_it(db, tmp_path):
    secret = tmp_path / 'password'
    secret.write_text(PASSWORD + '\n')
    with shipper(db.url, '--clickhouse-user', 'tycho', '--clickhouse-password-file', str(secret), lines=[flow(0)]) as ob:
        wait(db, ob, 1)
        with open('/proc/%d/cmdline' % ob.pid, 'rb') as f:
            assert b'secret' not in f.read()


def statements():
    """Those for operators, as this server knows them."""
    with open(os.path.join(wire.ROOT, 'deploy', 'clickhouse', 'schema.sql')) as f:
        text = re.sub(r' CODEC\([^)]*\)', '', re.sub('^--.*', '', f.read(), flags=re.M))
    return [s for s in text.split(';') if s.strip()]


def fewer_columns(db):
    db.ask('CREATE TABLE tycho_flows (node String, seq UInt32, x String) ENGINE = MergeTree ORDER BY seq')


def other_columns(db):
    for statement in statements():
        db.ask(statement.replace('bytes UInt64', 'bytes UInt32'))


@pytest.mark.parametrize('prepare, url, options, said', [
    (None, '{url}', ['--clickhouse-user', 'nobody'], 'Unknown user nobody (code 192)'),
    (None, '{url}', ['--clickhouse-user', 'tycho', '--clickhouse-password-file', __file__], 'Wrong password for user tycho (code 193)'),
    (None, '{url}', ['--clickhouse-user', 'reader'], '(code 164)'),
    (None, '{url}x', [], "x doesn't exist (code 81)"),
    (fewer_columns, '{url}', [], 'table {name}.tycho_flows has no column time_ns of type UInt64'),
    (other_columns, '{url}', [], 'column bytes of table {name}.tycho_flows is UInt32, and not UInt64'),
    (None, 'http://127.0.0.1:{none}', [], "Couldn't connect to server"),
])
def test_why_it_does_not_work_is_one_sentence(db, prepare, url, options, said):
    [none] = free_ports(1)
    if prepare:
        prepare(db)
    url, said = url.format(url=db.url, none=none), said.format(name=db.name)
    with shipper(url, *options, lines=[flow(0)]) as ob:
        until(lambda: said in ob.log(), fault=ob.log)
        assert ob.log().count('flows are not shipped to ClickHouse') == 1
    p = doctor('--clickhouse', url, *options)
    assert p.returncode == 1
    if 'reader' in options:
        said = 'this user may only read'
    assert [x for x in p.stdout.splitlines() if x.startswith('fail') and 'clickhouse' in x and said in x], p.stdout


def doctor(*options):
    return subprocess.run([os.path.join(BIN, 'tycho-observer'), '--doctor', 'compact', '--no-bpf', *options], stdout=subprocess.PIPE,
                          text=True, timeout=60)


def test_the_doctor_says_whether_it_can_be_reached_and_changes_nothing(db):
    def lines():
        return [x.split(None, 2) for x in doctor('--clickhouse', db.url).stdout.splitlines() if ' clickhouse ' in x]

    before = lines()
    assert [x[0] for x in before] == ['ok', 'warn', 'warn'] and 'there is no table' in before[1][2]
    assert db.ask('SHOW TABLES') == ''
    with shipper(db.url):
        until(lambda: db.ask('SHOW TABLES') == 'tycho_flows\ntycho_gaps')
    assert [x[0] for x in lines()] == ['ok', 'ok', 'ok']


class Stranger:
    """with Stranger(answer) as s: whoever asks gets those bytes."""

    def __init__(self, answer):
        self.proxy = Proxy(0)
        self.answer = answer
        self.proxy._serve = self._serve
        self.port = self.proxy.port

    def _serve(self, client):
        with client, client.makefile('rb') as f:
            if Proxy._request(f):
                client.sendall(self.answer)

    def __enter__(self):
        self.proxy.__enter__()
        return self

    def __exit__(self, *exc):
        self.proxy.__exit__(*exc)


def http(status, body, *headers, length=True):
    head = ['HTTP/1.1 %s' % status] + list(headers) + (['Content-Length: %d' % len(body)] if length else []) + ['Connection: close']
    return '\r\n'.join(head).encode() + b'\r\n\r\n' + body


PAGE = b'<html>Code: 60. DB::Exception: no</html>'


@pytest.mark.parametrize('answer, said', [
    (http('301 Moved', b'', 'Location: http://127.0.0.1:1/'), 'answers with a redirect (HTTP 301), which is not followed'),
    (http('404 Not Found', PAGE), 'does not answer as ClickHouse does (HTTP 404)'),
    (http('403 Forbidden', PAGE), 'does not let us in (HTTP 403)'),
    (http('502 Bad Gateway', PAGE), 'answers HTTP 502, not as ClickHouse does'),
    (http('200 OK', PAGE), "ClickHouse's answer does not have the rows that were asked for"),
    (http('200 OK', struct.pack('B4sB6s', 4, b'node', 6, b'String'), length=False), 'does not say where its answer ends'),
    (http('200 OK', b'abc')[:-1], 'transfer closed with 1 bytes remaining to read'),
    (b'nonsense', ''),
])
def test_who_is_no_clickhouse_is_told_apart(answer, said):
    with Stranger(answer) as s, shipper('http://127.0.0.1:%d' % s.port, lines=[flow(0)]) as ob:
        until(lambda: 'flows are not shipped to ClickHouse' in ob.log(), fault=ob.log)
        line = next(x for x in ob.log().splitlines() if 'flows are not shipped' in x)
        assert said in line


def test_a_server_that_says_nothing_holds_up_neither_flows_nor_the_end():
    with socket.create_server(('127.0.0.1', 0)) as silent:
        with shipper('http://127.0.0.1:%d' % silent.getsockname()[1], lines=[flow(i) for i in range(100)]) as ob:
            ob.wait_replayed()
            with ob.client() as c:
                assert len(list(c.GetFlows(number=100))) == 100
            assert ob.stop() == 0


def test_tables_that_others_made_wider_are_used(db):
    for statement in statements():
        db.ask(statement.replace('\tnode String,', "\tnode String, site String DEFAULT 'here',"))
    with shipper(db.url, lines=[flow(0)]) as ob:
        wait(db, ob, 1)
    assert rows(db, 'site, uuid') == [['here', 'flow-0']]
    with pytest.raises(Failed):
        db.ask('SELECT nothing FROM tycho_flows')
