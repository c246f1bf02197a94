"""tycho doctor before an archive, and the observer's own before a ClickHouse that it is to ship to."""
import re
import time

import pytest

from archived import Archive, Tables
from clickhouse import ClickHouse
from daemon import until
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
