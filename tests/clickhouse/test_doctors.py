"""tycho doctor before an archive, and the observer's own before a ClickHouse that it is to ship to."""
import http.server
import json
import os
import re
import subprocess
import threading
import time

import pytest

from archived import Archive, Tables
from clickhouse import ClickHouse
from daemon import BIN, until
from observer import tycho
from test_doctor import doctor, results


@pytest.fixture(scope='module')
def tables(server):
    return Tables(server, 'examined')


@pytest.fixture
def house(tables):
    tables.clear()
    return tables


@pytest.fixture
def archive(house):
    with Archive(house.url) as a:
        a.wait_well()
        yield a


def record(node, seq, age_s):
    return dict(node=node, seq=seq, time_ns=int((time.time() - age_s) * 1e9), kind='flow', response=b'\x0a\x00')


def of(check, lines):
    return [x for x in lines if x[0] == check]


def test_of_an_archives_nodes_it_says_how_far_their_records_have_come(house, archive):
    house.insert([record('east/a', 1, 7200), record('east/a', 2, 60), record('old', 1, 7200), record('ahead', 1, -3630)])
    lines = doctor(archive.address, code=0)
    said = {detail.split(',')[0]: (result, detail, fix) for _, result, detail, fix in of('node', lines)}
    assert [(node, said[node][0]) for node in sorted(said)] == [('ahead', 'warn'), ('east/a', 'ok'), ('old', 'warn')]
    assert re.fullmatch(r'east/a, in the archive until 20\S+Z, 1m[0-9]+s ago', said['east/a'][1]) and not said['east/a'][2]
    assert re.fullmatch(r'old, in the archive until 20\S+Z, 2h0m[0-9]+s ago', said['old'][1]) and 'whether its observer runs and ships' in said['old'][2]
    assert re.fullmatch(r'ahead, in the archive until 20\S+Z, 1h0m[0-9]+s ahead', said['ahead'][1]) and 'clock' in said['ahead'][2]
    assert of('store', lines) == [('store', 'ok', 'the archive has records of 3 nodes', '')]
    assert 'plain text' not in str(lines)


def test_what_was_deleted_before_it_was_shipped_is_told(house, archive):
    house.insert([record('a', 1, 1)])
    day_ns, now_ns = 86400 * 10**9, time.time_ns()
    for entry, age_ns, lost in ((1, 2 * day_ns, 1000), (2, day_ns // 2, 30), (3, 10**9, 4)):
        house.insert_gap(node='a', entry=2**63 + entry, cause='not-shipped', from_ns=now_ns - age_ns - 1, to_ns=now_ns - age_ns, lost=lost)
    said = of('store', doctor(archive.address, code=0))
    assert [(x[1], x[2]) for x in said] == [
        ('warn', 'a had to delete 34 records of the last day before they were in the archive'), ('ok', 'the archive has records of 1 node')]
    assert '--retention' in said[0][3]


def test_an_archive_without_flows_is_no_relay_without_nodes(archive):
    lines = doctor(archive.address, code=0)
    assert of('node', lines) == [('node', 'warn', "no node's flows are in the archive yet",
                                  'see on the nodes whether their observers ship (tycho-observer --clickhouse; --doctor compact with it)')]
    assert of('health', lines)[0][1] == 'ok'


def test_an_archive_whose_clickhouse_is_away_says_so():
    with ClickHouse() as ch:
        with Archive(Tables(ch, 'gone').url) as archive:
            archive.wait_well()
            ch.kill()
            until(lambda: archive.health() != 1, fault=archive.log)
            lines = doctor(archive.address, code=1)
    assert results(lines)[-2:] == [('health', 'fail'), ('version', 'fail')]
    assert 'ClickHouse does not answer it' in lines[-2][3]
    assert 'connect' in lines[-1][2] and 'where it answers from ClickHouse' in lines[-1][3]


def test_status_claims_nothing_of_what_the_nodes_keep(house, archive):
    house.insert([record('a', 1, 60), record('b', 1, 5)])
    said = dict(x.split(': ', 1) for x in tycho('status', '--server', archive.address, check=0).stdout.splitlines() if ': ' in x)
    assert said['History'].startswith('2/2 nodes, 2 records since ')
    assert (said['Retention'], said['Last Checkpoint']) == ("ClickHouse's", 'not known here')


# ---- the observer's own


def own(*options, code=0):
    """[(check, result, detail, fix)] of what concerns ClickHouse."""
    p = subprocess.run([os.path.join(BIN, 'tycho-observer'), '--doctor', 'json', '--no-bpf', *options], capture_output=True, text=True, timeout=60)
    lines = [x for x in map(json.loads, p.stdout.splitlines()) if x['check'] in ('clickhouse', 'clock')]
    assert (code == 1) == any(x['result'] == 'fail' for x in lines), p.stdout + p.stderr
    return [(x['check'], x['result'], x['detail'], x.get('fix', '')) for x in lines]


def test_that_rows_may_be_written_is_tried_without_one(house):
    lines = own('--clickhouse', house.url)
    assert results(lines) == [('clickhouse', 'ok'), ('clock', 'ok'), ('clickhouse', 'ok'), ('clickhouse', 'ok')]
    assert [x[2].split(' of ')[0] + x[2][x[2].index(' fits'):] for x in lines[2:]] == [
        'table %s fits, and may be written' % t for t in ('tycho_flows', 'tycho_gaps')]
    assert house.sql('SELECT count() FROM tycho_flows') == house.sql('SELECT count() FROM tycho_gaps') == '0'
    assert house.sql("SELECT count() FROM system.parts WHERE database = 'examined' AND active") == '0'


def test_a_user_who_may_only_read_is_found_out(house, db):
    for line in of('clickhouse', own('--clickhouse', house.url, '--clickhouse-user', 'reader', code=1))[1:]:
        assert line[1] == 'fail' and 'fits, but cannot be written' in line[2] and '(code 164)' in line[2] and 'INSERT' in line[3]
    for line in of('clickhouse', own('--clickhouse', db.url, '--clickhouse-user', 'reader', code=1))[1:]:
        assert line[1] == 'fail' and line[2].endswith('and this user may only read')


class Greeter(http.server.BaseHTTPRequestHandler):
    """Answers every statement with the same."""
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers.get('Content-Length', 0)))
        said = self.server.said()
        self.send_response(200)
        self.send_header('Content-Length', str(len(said)))
        self.end_headers()
        self.wfile.write(said)


def greeted(said):
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Greeter) as s:
        s.said = said
        thread = threading.Thread(target=s.serve_forever)
        thread.start()
        try:
            return own('--clickhouse', 'http://127.0.0.1:%d' % s.server_address[1], code=1)
        finally:
            s.shutdown()
            thread.join()


@pytest.mark.parametrize('ahead_s, result', [(0, 'ok'), (60, 'warn'), (-3600, 'warn')])
def test_the_servers_clock_is_judged(ahead_s, result):
    lines = greeted(lambda: b'24.3.1\t%d\n' % (time.time() + ahead_s))
    (_, got, detail, fix), = of('clock', lines)
    assert got == result and ('both clocks' in fix) == (result == 'warn')
    assert re.fullmatch("ClickHouse's clock is [0-9]+ s %s, known to a second" % ('ahead' if ahead_s > 0 else 'behind'), detail)


@pytest.mark.parametrize('said', [b'24.3.1', b'24.3.1\t', b'24.3.1\tnoon', b''])
def test_who_does_not_say_the_time_is_no_clickhouse(said):
    (_, result, detail, fix), = greeted(lambda: said)
    assert result == 'fail' and detail.endswith('does not answer as ClickHouse does') and 'HTTP port' in fix


def test_a_password_that_would_travel_in_plain_text_is_warned_of(tmp_path):
    (tmp_path / 'password').write_text('secret\n')
    options = ['--clickhouse-password-file', str(tmp_path / 'password'), '--clickhouse-user', 'u']
    lines = own('--clickhouse', 'http://clickhouse.invalid', *options, code=1)
    assert [x[1] for x in lines] == ['warn', 'fail'] and 'in plain text' in lines[0][2]
    assert [x[1] for x in own('--clickhouse', 'https://clickhouse.invalid', *options, code=1)] == ['fail']
