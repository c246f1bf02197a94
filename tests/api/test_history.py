"""Flows older than the log: answered from the store, over one seam, and how whole the record is."""
import contextlib
import json
import os
import re
import signal
import sqlite3

import pytest

import wire
from daemon import until
from observer import BASE_S, Observer, flow, numbers, stamp, tycho
from test_get_flows import at, dropped

RING = 255
TOTAL = 3000
SECONDS = len('2023-11-14T22:13:20')  # of a time that is shown
CAUSES = wire.POOL.FindEnumTypeByName('tycho.v1.Gap.Cause')


def coverage(client, **fields):
    answers = list(client.call('tycho.v1.History', 'GetCoverage', **fields))
    assert len(answers) == 1
    return answers[0]


def causes(answer):
    return [CAUSES.values_by_number[g.cause].name for g in answer.gaps]


def feed_and_keep(ob, client, wanted):
    """Feeds flow by flow what fits into the log, until the store has it too: so that none is missing."""
    for i in range(0, len(wanted), RING // 2):
        part = wanted[i:i + RING // 2]
        ob.feed(part)
        ob.wait_seen(i + len(part))
        until(lambda: coverage(client).records >= i + len(part))


@pytest.fixture(scope='module')
def history():
    """The log holds the newest flows, the store all."""
    with Observer('--ring-capacity', str(RING), '--seal-period', '100ms') as ob:
        with ob.client() as client:
            feed_and_keep(ob, client, [flow(i, verdict='DROPPED' if i % 100 == 7 else 'FORWARDED') for i in range(TOTAL)])
            yield ob, client


@pytest.mark.parametrize('request_, want', [
    ({'number': 1000}, range(TOTAL - 1000, TOTAL)),
    ({'number': wire.ALL}, range(TOTAL)),
    ({'number': TOTAL}, range(TOTAL)),
    ({'first': True, 'number': 700}, range(700)),
    ({'since': (10,)}, range(10, TOTAL)),
    ({'since': (10,), 'until': (20,)}, range(10, 21)),
    ({'since': (TOTAL - 3,)}, range(TOTAL - 3, TOTAL)),
    # as Hubble's CLI asks for --until, with and without --all: all before it
    ({'until': (20,)}, range(21)),
    ({'until': (TOTAL - 10,)}, range(TOTAL - 9)),
    ({'until': (TOTAL + 10,)}, range(TOTAL)),
    ({'until': (-1,)}, []),
    ({'until': (750,), 'filter': True}, range(7, 750, 100)),
    ({'until': (20,), 'first': True}, range(21)),
    # --until with --last: the newest of these, in memory, over the seam, and before it
    ({'until': (TOTAL - 10,), 'number': 20}, range(TOTAL - 29, TOTAL - 9)),
    ({'until': (TOTAL - RING + 5,), 'number': 20}, range(TOTAL - RING - 14, TOTAL - RING + 6)),
    ({'until': (20,), 'number': 5}, range(16, 21)),
    ({'until': (20,), 'number': wire.ALL}, range(21)),
    ({'number': 5, 'filter': True}, [2507, 2607, 2707, 2807, 2907]),
    ({'first': True, 'number': 3, 'filter': True}, [7, 107, 207]),
    ({'since': (0,), 'filter': True}, range(7, TOTAL, 100)),
])
def test_a_request_that_wants_more_than_the_log_holds_gets_it_in_order(history, request_, want):
    fields = {k: at(*v) if k in ('since', 'until') else v for k, v in request_.items()}
    if fields.pop('filter', False):
        fields['whitelist'] = dropped()
    assert numbers(history[1].flows(**fields)) == list(want)


def test_without_any_position_the_log_is_the_answer(history):
    got = numbers(history[1].flows())
    assert 0 < len(got) <= RING and got == list(range(TOTAL - len(got), TOTAL))


def test_a_follower_begins_in_history_and_goes_on_live():
    with Observer('--ring-capacity', str(RING), '--seal-period', '100ms') as ob:
        with ob.client() as client:
            feed_and_keep(ob, client, [flow(i) for i in range(1000)])
            stream = client.GetFlows(follow=True, since=at(0))
            got = [next(stream).flow for _ in range(1000)]
            ob.feed([flow(i) for i in range(1000, 1010)])
            got += [next(stream).flow for _ in range(10)]
            stream.cancel()
            assert numbers(got) == list(range(1010))


def test_a_second_run_answers_for_the_first_and_owns_up_to_the_time_between():
    with Observer() as ob:
        ob.feed([flow(i) for i in range(50)])
        ob.wait_seen(50)
        ob.restart()
        ob.feed([flow(i) for i in range(50, 60)])
        ob.wait_seen(10)
        with ob.client() as client:
            assert numbers(client.flows(first=True)) == list(range(60))
            assert numbers(client.flows(number=20)) == list(range(40, 60))
            answer = coverage(client)
            assert answer.node_name == 'n0' and answer.has_store and answer.records >= 50
            assert causes(answer) == ['OBSERVER_DOWN']
            gap = answer.gaps[0]
            begin = getattr(gap, 'from')  # a word of Python's
            assert begin.ToNanoseconds() < gap.to.ToNanoseconds()
            assert not coverage(client, until=at(0)).gaps  # in 2023 nothing was missing yet


def test_an_end_alone_asks_policies_of_all_before_it(history):
    ob, _ = history
    said = tycho('policy', 'suggest', '--until', stamp(20), '--server', ob.tcp, check=0).stdout
    flows = [i for i in range(21) if i % 100 != 7]
    assert said.startswith('# Made by tycho policy suggest of %d flows, %s to %s.\n' % (len(flows), stamp(0), stamp(20)))


@pytest.mark.parametrize('words', [['--until', stamp(20)], ['--all', '--until', stamp(20)]], ids=len)
def test_an_end_alone_is_all_before_it(history, words):
    ob, _ = history
    p = tycho('observe', *words, '-o', 'json', '--server', ob.tcp, check=0)
    assert len(p.stdout.splitlines()) == 21 and p.stderr.startswith('complete: 1 node, ') and p.stderr.endswith(', until %s\n' % stamp(20))


def test_an_end_alone_maps_all_before_it(history):
    ob, client = history
    for words, want in (['--verdict', 'FORWARDED'], 20), ([], 60 - BASE_S % 60):  # flow by flow; by whole minutes
        p = tycho('map', '--until', stamp(20), *words, '-o', 'json', '--server', ob.tcp, check=0)
        assert sum(int(json.loads(line)['flows']) for line in p.stdout.splitlines()) == want


@pytest.mark.parametrize('method, kind', [('GetAgentEvents', 'agent_event'), ('GetDebugEvents', 'debug_event')])
def test_an_end_alone_is_of_all_events_before_it(method, kind):
    event = {'agent_event': {'type': 'ENDPOINT_CREATED'}, 'debug_event': {'type': 'DBG_GENERIC'}}
    with Observer('--ring-capacity', str(RING), '--seal-period', '100ms') as ob, ob.client() as client:
        ob.feed([json.dumps({kind: event[kind], 'node_name': 'n1', 'time': stamp(i)}) for i in range(5)])
        feed_and_keep(ob, client, [flow(i) for i in range(2 * RING)])
        got = list(getattr(client, method)(until=at(3)))
        assert [r.time for r in got] == [at(i) for i in range(4)]


def test_a_killed_run_is_a_gap_of_its_last_second():
    with Observer('--seal-period', '100ms') as ob:
        with ob.client() as client:
            feed_and_keep(ob, client, [flow(i) for i in range(100)])
        ob.process.send_signal(signal.SIGKILL)
        ob.process.wait()
        ob.process.stdin.close()
        ob.__enter__()
        with ob.client() as client:
            assert 'OBSERVER_CRASHED' in causes(coverage(client))
            assert set(numbers(client.flows(first=True))) <= set(range(100))


def test_without_a_store_the_log_is_all_and_says_so():
    with Observer('--store', 'off', '--ring-capacity', '127') as ob:
        ob.feed([flow(i) for i in range(500)])
        ob.wait_seen(500)
        with ob.client() as client:
            assert numbers(client.flows(first=True)) == list(range(500 - 127, 500))
            answer = coverage(client)
            assert not answer.has_store and answer.records == 127 and answer.oldest.seconds == at(500 - 127).seconds
        p = tycho('observe', '--since', stamp(0), '--server', ob.tcp, check=0)
        assert p.stderr == ('incomplete: n0: nothing before %s: it keeps no history beyond its memory\n' % stamp(500 - 127))


def test_the_status_says_what_is_kept_since_when_for_how_long_and_that_it_is_signed():
    with Observer('--retention', '36h', '--retention-size', '32M', '--seal-period', '100ms') as ob, ob.client() as client:
        feed_and_keep(ob, client, [flow(i) for i in range(100)])
        until(lambda: coverage(client).HasField('last_checkpoint'))
        before = coverage(client)
        asked = [tycho('status', '--server', ob.tcp, '-o', form, check=0).stdout for form in ('compact', 'dict', 'table', 'json')]
        after = coverage(client)  # segments may have been merged meanwhile, another checkpoint signed
        begins = '|'.join(x.oldest.ToJsonString()[:SECONDS] + 'Z' for x in (before, after))
        history = r'1\d\d records since (?:%s), \d+\.\d MiB' % begins
        compact = asked[0].splitlines()[3:]
        assert re.fullmatch('History: ' + history, compact[0])
        assert compact[1:3] == ['Retention: 36h0m0s, 32.0 MiB', 'Gaps in 24h: 0']
        signed = re.fullmatch(r'Last Checkpoint: (20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d)Z', compact[3])[1]
        assert signed in [x.last_checkpoint.ToJsonString()[:SECONDS] for x in (before, after)] and len(compact) == 4
        assert re.search(r'^            HISTORY: %s\n          RETENTION: 36h' % history, asked[1], re.M)
        assert asked[1].endswith('\n        NOT WRITING: 0\n')
        head, row = [re.split(' {3,}', x) for x in asked[2].splitlines()]
        assert head[8:] == ['HISTORY', 'RETENTION', 'GAPS IN 24H', 'LAST CHECKPOINT', 'NOT WRITING'] and len(row) == len(head)
        assert re.fullmatch(history, row[8]) and row[9:11] == ['36h0m0s, 32.0 MiB', '0']
        [node] = json.loads(asked[3])['history']
        assert (node['node_name'], node['has_store'], node['retention_s'], node['retention_bytes']) == ('n0', True, str(36 * 3600), str(32 << 20))


def test_the_status_counts_the_gaps_of_the_last_day():
    with Observer() as ob:
        for _ in range(2):
            ob.restart()
        assert '\nGaps in 24h: 2\n' in tycho('status', '--server', ob.tcp, check=0).stdout


def test_the_status_of_an_observer_without_a_store_says_so():
    with Observer('--store', 'off', lines=[flow(0)]) as ob:
        assert tycho('status', '--server', ob.tcp, check=0).stdout.splitlines()[3:] == ['History: none beyond memory']


def test_times_that_are_none_are_refused_in_one_sentence():
    with Observer(lines=[flow(0)]) as ob:
        with ob.client() as client:
            status, text = wire.status_of(lambda: coverage(client, since=at(0, -1)))
            assert (status, text) == ('INVALID_ARGUMENT', 'a time of the range is none between 1970 and 2554')


# --- the command -----------------------------------------------------------------------------------------------------


def test_observe_says_on_stderr_whether_the_stretch_is_whole(history):
    ob, _ = history
    whole = tycho('observe', '--last', '500', '-o', 'json', '--server', ob.tcp, check=0)
    assert len(whole.stdout.splitlines()) == 500
    assert whole.stderr == 'complete: 1 node, since %s\n' % stamp(TOTAL - 500)
    assert tycho('observe', '--server', ob.tcp, check=0).stderr == ''  # a look, not a stretch
    assert tycho('observe', '--last', '5', '--silent-errors', '--server', ob.tcp, check=0).stderr == ''
    first = tycho('observe', '--first', '10', '--server', ob.tcp, check=0)
    assert first.stderr == 'complete: 1 node, until %s\n' % stamp(9)


def test_coverage_prints_what_is_covered_and_what_is_not():
    with Observer(path='/dev/null') as ob:
        ob.restart('/dev/null')
        p = tycho('coverage', '--server', ob.tcp, check=0)
        head, covered, missing = p.stdout.splitlines()
        assert head.split() == ['NODE', 'STATE', 'FROM', 'TO', 'RECORDS', 'REMARK']
        assert covered.split()[:2] == ['n0', 'covered'] and 'store,' in covered
        assert missing.split()[:2] == ['n0', 'missing'] and missing.endswith('no observer ran')
        line = json.loads(tycho('coverage', '-o', 'json', '--server', ob.tcp, check=0).stdout)
        assert line['node_name'] == 'n0' and line['gaps'][0]['cause'] == 'OBSERVER_DOWN'
        p = tycho('coverage', '--since', 'yesterday-ish', '--server', ob.tcp, check=1)
        assert 'failed to parse the since time' in p.stderr and len(p.stderr.splitlines()) == 1
        assert 'expected a time such as 5m' in p.stderr
        for command in ('coverage', 'map'):
            p = tycho(command, '--since', '5m', '--until', '1h', '--server', ob.tcp, check=1)
            assert (p.stdout, p.stderr) == ('', '--until 1h is before --since 5m\n')


def row_of(ob, *words):
    """Of the only node: the columns FROM, TO and RECORDS."""
    p = tycho('coverage', *words, '--server', ob.tcp, check=0)
    [row] = [line.split()[2:5] for line in p.stdout.splitlines() if line.split()[1] == 'covered']
    return row


# Two segments are cut by most of these; the observer's own start is a record of today.
@pytest.mark.parametrize('since, until', [(10, 20), (0, TOTAL - 1), (700, 701), (1500, 1500), (TOTAL - 300, TOTAL - 2), (-60, 5)])
def test_coverage_counts_the_records_of_a_range(history, since, until):
    ob, client = history
    inside = [max(since, 0), min(until, TOTAL - 1)]
    answer = coverage(client, since=at(since), until=at(until), count=True)
    assert (answer.counted, answer.range_records) == (True, inside[1] - inside[0] + 1) and answer.records >= TOTAL
    assert row_of(ob, '--since', stamp(since), '--until', stamp(until)) == [
        stamp(inside[0]), stamp(inside[1]), '{:,}'.format(inside[1] - inside[0] + 1)]


def test_coverage_counts_up_to_now_from_the_begin_and_nothing(history):
    ob, client = history
    assert row_of(ob, '--since', stamp(TOTAL - 5))[2] == '6'  # the observer's start is later
    assert row_of(ob, '--until', stamp(4))[1:] == [stamp(4), '5']
    assert row_of(ob, '--since', stamp(TOTAL + 10), '--until', stamp(TOTAL + 20))[2] == '0'
    assert row_of(ob)[2] == '{:,}'.format(coverage(client).records)
    assert not coverage(client, since=at(10)).counted  # whom nobody asked


def test_without_a_store_the_log_is_counted():
    with Observer('--store', 'off', '--ring-capacity', '127') as ob, ob.client() as client:
        ob.feed([flow(i) for i in range(500)])
        ob.wait_seen(500)
        for since, until, want in (400, 450, 51), (0, 380, 8), (0, 10, 0):
            answer = coverage(client, since=at(since), until=at(until), count=True)
            assert (answer.counted, answer.range_records, answer.records) == (True, want, 127)


def test_the_map_of_a_range_goes_back_further_than_flows_are_kept():
    with Observer('--retention-edges', '9999d', lines=[flow(i) for i in range(5)]) as ob:
        ob.wait_seen(5)
        assert ob.stop() == 0
        with contextlib.closing(sqlite3.connect(os.path.join(ob.folder, 'state', 'flows.db'))) as db, db:
            db.execute('UPDATE edge_minute SET id = id - (10 << 20)')  # as if flows of then were gone
        ob.restart('/dev/null')
        then = stamp(-600 - BASE_S % 60)  # minutes begin on the minute
        p = tycho('map', '--since', then, '--server', ob.tcp, check=0)
        assert 'cart' in p.stdout and 'incomplete: n0: nothing before' not in p.stderr
        p = tycho('map', '--since', then, '--verdict', 'FORWARDED', '--server', ob.tcp, check=0)  # flows are asked, and gone
        assert 'incomplete: n0: nothing before %s, where its record begins\n' % stamp(0) in p.stderr


def test_what_lies_before_the_record_is_not_covered(history):
    ob, _ = history
    begin = 'incomplete: n0: nothing before %s, where its record begins\n' % stamp(0)
    for words in ['--until', stamp(-60)], ['--since', stamp(-60), '--until', stamp(-30)]:
        p = tycho('observe', *words, '--server', ob.tcp, check=0)
        assert (p.stdout, p.stderr) == ('', begin)
    rows = [line.split()[1:4] for line in tycho('coverage', '--since', stamp(-60), '--server', ob.tcp, check=0).stdout.splitlines()]
    assert ['missing', stamp(-60), stamp(0)] in rows
    rows = [line.split()[1:4] for line in tycho('coverage', '--until', stamp(-60), '--server', ob.tcp, check=0).stdout.splitlines()]
    assert ['missing', '-', stamp(-60)] in rows
    rows = [line.split()[1] for line in tycho('coverage', '--since', stamp(0), '--server', ob.tcp, check=0).stdout.splitlines()]
    assert rows == ['STATE', 'covered']


def test_a_range_that_no_record_can_be_of_is_neither_whole_nor_not(history, tmp_path):
    ob, _ = history
    (tmp_path / 'policy.yaml').write_text('{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: all}, spec: {podSelector: {}}}')
    p = tycho('observe', '--since', stamp(60), '--until', stamp(30), '--server', ob.tcp, check=0)
    assert (p.stdout, p.stderr) == ('', 'note: no time is in this range: %s, its end, is before %s, its begin\n' % (stamp(30), stamp(60)))
    late = '2200-01-01T00:00:00Z'
    p = tycho('observe', '--since', late, '--server', ob.tcp, check=0)
    assert (p.stdout, p.stderr) == ('', 'note: nothing is of this range yet: %s, its begin, is still to come\n' % late)
    for words in ['coverage'], ['map'], ['evidence', 'export', '-o', '/nowhere'], \
            ['policy', 'preview', '-f', str(tmp_path / 'policy.yaml')]:
        p = tycho(*words, '--since', late, '--server', ob.tcp, check=1)
        assert (p.stdout, p.stderr) == ('', '--since %s is still to come\n' % late)
    # up to the end of what is there
    p = tycho('observe', '--since', stamp(TOTAL - 1), '--until', late, '-o', 'json', '--server', ob.tcp, check=0)
    assert len(p.stdout.splitlines()) == 1 and p.stderr == 'complete: 1 node, since %s\n' % stamp(TOTAL - 1)


def test_a_map_of_a_range_says_whether_the_range_is_whole(history):
    ob, _ = history
    note = 'note: counted by whole minutes, since %s; with filters, flow by flow\n' % stamp(-(BASE_S % 60))
    p = tycho('map', '--since', stamp(0), '--server', ob.tcp, check=0)
    assert len(p.stdout.splitlines()) > 1 and p.stderr == note + 'complete: 1 node, since %s\n' % stamp(0)
    p = tycho('map', '--since', stamp(-1), '--server', ob.tcp, check=0)
    assert p.stderr == note + 'incomplete: n0: nothing before %s, where its record begins\n' % stamp(0)
    assert tycho('map', '--server', ob.tcp, check=0).stderr == ''
