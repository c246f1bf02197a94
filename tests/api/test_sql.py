"""tycho sql: a store's file asked in SQL while its observer runs, and after."""
import csv
import io
import json
import os
import signal
import subprocess

import pytest

from daemon import until
from observer import BIN, Observer, flow, golden, stamp, tycho

TOTAL = 500


@pytest.fixture(scope='module')
def kept():
    """An observer that has sealed what it saw, and goes on running."""
    lines = [flow(i, verdict='DROPPED' if i % 100 == 7 else 'FORWARDED') for i in range(TOTAL)]
    with Observer('--seal-period', '100ms', lines=lines) as ob:
        ob.wait_seen(TOTAL)
        until(lambda: sql(ob, '-o', 'csv', "select count(*) from flows where kind = 'flow'").split() == ['count(*)', str(TOTAL)])
        yield ob


def folder(ob):
    return os.path.join(ob.folder, 'state')


def sql(ob, *words):
    p = tycho('sql', '--store', folder(ob), *words, check=0)
    assert p.stderr == ''
    return p.stdout


def test_a_table_is_aligned_and_shows_nothing_as_a_dash(kept):
    assert sql(kept, 'select verdict, count(*), NULL as none from flows where verdict is not null group by 1') == (
        'verdict     count(*)   none\n'
        'DROPPED     5          -\n'
        'FORWARDED   495        -\n')


def test_csv_is_read_back_by_others(kept):
    text = sql(kept, '-o', 'csv', "select 'a,b' as x, 'say \"no\"' as y, 'two' || char(10) || 'lines' as z, 7 as n, NULL as e")
    assert list(csv.DictReader(io.StringIO(text, newline=''))) == [
        {'x': 'a,b', 'y': 'say "no"', 'z': 'two\nlines', 'n': '7', 'e': ''}]


def test_json_is_an_object_a_line_and_keeps_large_numbers(kept):
    lines = sql(kept, '-o', 'json', "select time, destination_port, source_labels, 9007199254740993 as large, 1.5 as real,"
                ' NULL as none, char(1) as odd from flows where verdict is not null limit 2').splitlines()
    assert [json.loads(line) for line in lines] == [
        {'time': stamp(i).replace('Z', '.000000000Z'), 'destination_port': 80, 'source_labels': '["k8s:app=cart"]',
         'large': '9007199254740993', 'real': 1.5, 'none': None, 'odd': '\x01'} for i in range(2)]
    # the fewest digits that are the same number, as Python has them
    assert sql(kept, '-o', 'json', 'select 0.1 as a, 1e23 as b, 1.0 / 3 as c') == '{"a":0.1,"b":1e+23,"c":%r}\n' % (1 / 3)


def test_the_limit_is_said(kept):
    p = tycho('sql', '--store', folder(kept), '-o', 'csv', '--limit', '3', 'select seq from flows', check=0)
    assert len(p.stdout.splitlines()) == 4
    assert p.stderr == 'There are more rows: --limit 3 is reached.\n'
    p = tycho('sql', '--store', folder(kept), '-o', 'csv', '--limit', '0', 'select a.seq from flows a, flows b where b.seq < a.seq + 22',
              check=0)
    assert len(p.stdout.splitlines()) > 10000 and p.stderr == ''


@pytest.mark.parametrize('words, sentence', [
    (['select nope from flows'], 'no such column: nope'),
    (['delete from flows'], 'table flows may not be modified'),
    (["attach 'x' as y"], 'only SELECT is possible, over flows, gaps, endpoints, edges and policies'),
    (['-o', 'xml', 'select 1'], 'invalid argument "xml" for "-o, --output" flag: expected table, csv or json'),
    ([], 'tycho sql takes one statement in quotes, such as "select verdict, count(*) from flows group by 1"'),
    (['select', '1'], 'tycho sql takes one statement in quotes, such as "select verdict, count(*) from flows group by 1"'),
])
def test_mistakes_are_one_sentence(kept, words, sentence):
    p = tycho('sql', '--store', folder(kept), *words, check=1)
    assert (p.stdout, p.stderr) == ('', sentence + '\n')


def test_a_folder_without_a_store_is_named(tmp_path):
    p = tycho('sql', '--store', str(tmp_path), 'select 1', check=1)
    assert p.stderr == "store '%s/flows.db': No such file or directory\n" % tmp_path


def test_a_store_is_asked_after_its_observer_has_ended():
    with Observer(path=golden('real.jsonl')) as ob:
        ob.wait_seen(1024)
        ob.stop()
        want = {}
        with open(golden('real.jsonl')) as f:
            for line in f:
                of = json.loads(line).get('flow')
                if of:
                    verdict = of.get('verdict', 'VERDICT_UNKNOWN')
                    want[verdict] = want.get(verdict, 0) + 1
        text = sql(ob, '-o', 'csv', "select verdict, count(*) from flows where kind = 'flow' group by 1")
        assert {r['verdict']: int(r['count(*)']) for r in csv.DictReader(io.StringIO(text))} == want


def test_an_interrupt_ends_a_query(kept):
    """It first prints, so that it is known to run."""
    words = ['sql', '--store', folder(kept), '-o', 'csv', '--limit', '0',
             'with recursive n(i) as (select 1 union all select i + 1 from n) select i from n']
    with subprocess.Popen([os.path.join(BIN, 'tycho')] + words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as p:
        first = os.read(p.stdout.fileno(), 4096)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=20)
    assert (p.returncode, err) == (1, b'interrupted\n')
    name, *numbers = (first + out).decode().split()
    assert name == 'i' and numbers == [str(i + 1) for i in range(len(numbers))]


def test_the_schema_is_printed_without_a_store():
    p = tycho('sql', '--schema', check=0)
    assert p.stdout.startswith('-- Flows, and what else the log held.\nCREATE TABLE flows (\n  seq INTEGER, -- number')
