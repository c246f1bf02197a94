"""A store under an observer that is killed, has no room, may not write, or meets another: it goes on and says so."""
import contextlib
import datetime
import hashlib
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import urllib.request

import pytest

from daemon import BIN, until
from disk import fill, tmpfs
from observer import Observer, flow, golden, tycho

BLOCK, GAP, START, STOP, POLICY, PRUNED = range(1, 7)


def read(folder):
    return sqlite3.connect('file:%s?mode=ro' % os.path.join(folder, 'flows.db'), uri=True, timeout=20)


def ask(folder, sql, *args):
    with contextlib.closing(read(folder)) as db:
        return db.execute(sql, args).fetchall()


def wait(what, enough):
    return until(enough, fault=lambda: 'not in time: %s' % what)


def rfc3339(ns):
    day = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=ns // 10**9)
    return day.strftime('%Y-%m-%dT%H:%M:%S') + '.%09dZ' % (ns % 10**9)


def body_of_block(first, last, count, since, until, sealed, root):
    return ('{"kind":"block","first_seq":"%d","last_seq":"%d","count":%d,"from":"%s","to":"%s","root":"%s","sealed":"%s"}'
            % (first, last, count, rfc3339(since), rfc3339(until), root.hex(), rfc3339(sealed)))


def check_chain(folder):
    """Every hash follows from the number, the hash before and the body, as docs/store.md says. The kinds, in order."""
    kinds, before, expected = [], bytes(32), 1
    for number, kind, digest, body, *block in ask(
            folder, 'SELECT number, kind, hash, body, first_seq, last_seq, count, from_ns, to_ns, sealed_ns, root'
            ' FROM entry ORDER BY number'):
        assert number == expected
        text = body_of_block(*block) if kind == BLOCK else body
        before = hashlib.sha256(b'\x03' + number.to_bytes(8, 'big') + before + text.encode()).digest()
        assert digest == before, 'entry %d' % number
        kinds.append(kind)
        expected += 1
    return kinds


def check_segments(folder):
    """Records held: blocks and segments say the same, and no number lies in two of them."""
    assert ask(folder, 'PRAGMA integrity_check') == [('ok',)]
    last = 0
    for first, end, count in ask(folder, 'SELECT first_seq, last_seq, count FROM segment ORDER BY first_seq'):
        assert last < first <= end and count <= end - first + 1
        last = end
    # in one breath: the observer may be writing
    [(held, entered)] = ask(folder, 'SELECT (SELECT total(count) FROM segment), (SELECT total(count) FROM entry WHERE kind = 1)')
    assert held == entered
    return held


def gaps(folder, cause):
    return ask(folder, 'SELECT lost, from_ns, to_ns, detail FROM gap WHERE cause = ? ORDER BY id', cause)


CRASHED, WRITE, DAMAGED = 2, 5, 6


def test_killed_again_and_again_under_load(tmp_path):
    folder, rounds, held = str(tmp_path), 5, 0

    def blocks():
        return ask(folder, 'SELECT count(*) FROM entry WHERE kind = ?', BLOCK)[0][0]

    for n in range(rounds):
        before = blocks() if n else 0
        with Observer('--store', folder, '--seal-period', '100ms', '--replay-repeat', '1000000',
                      path=golden('synthetic.jsonl'), keep_time=False) as ob:
            wait('new blocks', lambda: blocks() > before + 5)
            assert ob.stop(signal.SIGKILL) == -signal.SIGKILL
        held = check_segments(folder)
    with Observer('--store', folder):
        pass
    kinds = check_chain(folder)
    assert len(gaps(folder, CRASHED)) == rounds
    assert kinds.count(START) == rounds + 1 and kinds.count(STOP) == 1
    assert check_segments(folder) == held + 1, 'what was sealed is still there, and that the agent started'


def status(ob):
    p = tycho('status', '--server', ob.tcp, check=0)
    assert 'History: ' in p.stdout, p.stderr
    return p.stdout


def doctor(ob):
    """Its exit status, and what it says of the store."""
    p = tycho('doctor', '--server', ob.tcp, '-o', 'json')
    [store] = [x for x in map(json.loads, p.stdout.splitlines()) if x['check'] == 'store']
    return p.returncode, store['result'], store['detail'], store.get('fix', '')


def test_a_full_disk(tmp_path):
    with tmpfs(str(tmp_path), '4M') as folder, Observer('--store', folder, '--seal-period', '100ms', keep_time=False) as ob:
        fed = 0

        def feed(n=200):
            nonlocal fed
            ob.feed([flow(fed + i) for i in range(n)])
            fed += n
            ob.wait_seen(fed)
            return True

        feed()
        wait('the first block', lambda: check_segments(folder) == fed + 1)  # and that the agent started
        fill(folder)
        wait('no room', lambda: feed() and 'history is not written' in ob.log())
        feed()  # it still observes
        wait('word of it', lambda: feed() and 'Not Writing: 1\n  - n0\n' in status(ob))
        # a gap alone may find room
        code, result, detail, fix = wait('a failure', lambda: feed() and next((x for x in [doctor(ob)] if x[0]), None))
        assert (code, result) == (1, 'fail') and 'see to the disk' in fix
        assert re.fullmatch('n0 does not write its history: .*No space left on device', detail)
        os.unlink(os.path.join(folder, 'ballast'))
        wait('room', lambda: feed() and 'history is written again' in ob.log())
        wait('word of it', lambda: feed() and 'Not Writing' not in status(ob))
        assert doctor(ob) == (0, 'ok', 'history is written', '')
        assert 'No space left on device' in ob.log()
        assert ob.stop() == 0
        lost = sum(g[0] for g in gaps(folder, WRITE))
        assert lost > 0
        # Agent events are records of their own.
        agent = 3  # agent started, store failed, store recovered
        assert check_segments(folder) + lost == fed + agent
        check_chain(folder)


def test_a_start_on_a_full_disk(tmp_path):
    """Killed where there was no room, and started again by whoever looks after it: it observes, and history goes on once there is."""
    with tmpfs(str(tmp_path), '4M') as folder:
        options = ('--store', folder, '--state-dir', folder, '--seal-period', '100ms')
        with Observer(*options, keep_time=False) as ob:
            ob.feed([flow(i) for i in range(200)])
            wait('a block', lambda: check_segments(folder) == 201)
            assert ob.stop(signal.SIGKILL) == -signal.SIGKILL
        with open(os.path.join(folder, 'seq')) as f:
            before = int(f.read())
        fill(folder)
        with Observer(*options, keep_time=False) as ob:
            ob.feed([flow(i) for i in range(100)])
            ob.wait_seen(100)
            assert sorted(x for x in os.listdir(folder) if x.startswith('seq')) == ['seq']
            with open(os.path.join(folder, 'seq')) as f:
                assert int(f.read()) > before, 'numbers go on from here the next time'
            os.unlink(os.path.join(folder, 'ballast'))

            def goes_on():
                ob.feed([flow(0)])
                return check_segments(folder) > 201
            wait('history', goes_on)
            assert ob.stop() == 0
        check_chain(folder)
        assert len(gaps(folder, CRASHED)) == 1


def test_a_file_that_may_not_grow(tmp_path):
    """A limit on the size of files (ulimit -f) makes writes fail, as a full disk does; nothing dies of its signal."""
    with Observer('--store', str(tmp_path), '--seal-period', '100ms') as ob:
        ob.feed([flow(i) for i in range(200)])
        wait('the first block', lambda: check_segments(str(tmp_path)) == 201)  # and that the agent started
        resource.prlimit(ob.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        ob.feed([flow(200)])
        wait('no room', lambda: 'history is not written' in ob.log())
        assert ob.stop() == 0, ob.log()
    check_chain(str(tmp_path))


def lost_records(ob):
    address = next(a for a in ob.addresses if a.startswith('metrics='))[len('metrics='):]
    with urllib.request.urlopen('http://' + address + '/metrics', timeout=60) as page:
        return int(re.search(r'^tycho_store_lost_records_total (\d+)$', page.read().decode(), re.M).group(1))


def test_a_read_only_file_system(tmp_path):
    with tmpfs(str(tmp_path), '16M') as folder:
        with Observer('--store', folder, lines=[flow(i) for i in range(100)]) as ob:
            ob.wait_seen(100)
        held = check_segments(folder)
        subprocess.run(['mount', '-o', 'remount,ro', folder], check=True)
        with Observer('--store', folder, '--seal-period', '100ms', '--metrics-listen', '127.0.0.1:0') as ob:
            ob.feed([flow(i) for i in range(50)])
            ob.wait_seen(50)
            wait('the warning', lambda: 'history is not written' in ob.log())
            wait('the loss', lambda: lost_records(ob))  # the store may come late to what is seen
            subprocess.run(['mount', '-o', 'remount,rw', folder], check=True)
            wait('writing', lambda: 'history is written again' in ob.log())
            ob.feed([flow(i) for i in range(70)])
            ob.wait_seen(120)
        assert check_segments(folder) >= held + 70
        assert sum(g[0] for g in gaps(folder, WRITE)) > 0
        check_chain(folder)


def test_two_observers_need_two_folders(tmp_path):
    with Observer('--store', str(tmp_path)):
        with pytest.raises(RuntimeError, match='another observer keeps its flows in'):
            with Observer('--store', str(tmp_path)):
                pass
    with Observer('--store', str(tmp_path)):
        pass


def test_a_newer_file_is_refused(tmp_path):
    with Observer('--store', str(tmp_path)):
        pass
    with contextlib.closing(sqlite3.connect(str(tmp_path / 'flows.db'))) as db:
        db.execute('PRAGMA user_version = 1000')
    with pytest.raises(RuntimeError, match='written by a newer Tycho'):
        with Observer('--store', str(tmp_path)):
            pass


@pytest.mark.parametrize('version', [1, 3])
def test_an_older_file_is_read_as_it_is(tmp_path, version):
    dump = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, 'unit', 'store_v%d.sql' % version)
    with contextlib.closing(sqlite3.connect(str(tmp_path / 'flows.db'))) as db, open(dump) as script:
        db.executescript(script.read())
    before = (tmp_path / 'flows.db').read_bytes()

    def tycho(*args):
        return subprocess.run([os.path.join(BIN, 'tycho'), *args], check=True, stdout=subprocess.PIPE, text=True,
                              timeout=60).stdout

    store = ('--store', str(tmp_path))
    assert tycho('sql', *store, '-o', 'csv', 'select count(*) from flows').split() == ['count(*)', '50']
    edges = tycho('sql', *store, '-o', 'csv', 'select sum(flows), max(source_cluster || source_kind) from edges')
    assert edges.split()[-1] == '50,'
    assert '50 records in 3 blocks' in tycho('store', 'verify', *store)
    assert (tmp_path / 'flows.db').read_bytes() == before


def damage(folder, name=None, page=None):
    """Rubbish over a page, or that which a small table, or an index, lies on, as a bad disk leaves it."""
    with contextlib.closing(sqlite3.connect(os.path.join(folder, 'flows.db'))) as db:
        if name:
            [(page,)] = db.execute('SELECT rootpage FROM sqlite_schema WHERE name = ?', (name,))
        [(size,)] = db.execute('PRAGMA page_size')
    with open(os.path.join(folder, 'flows.db'), 'r+b') as f:
        f.seek((page - 1) * size)
        f.write(b'\xa5' * size)


def test_names_that_cannot_be_read_are_said_to_be_missing(tmp_path):
    folder, said = str(tmp_path), 'the store is damaged there: names that cannot be read\n'
    with Observer('--store', folder, lines=[flow(i) for i in range(10)]) as ob:
        ob.wait_seen(10)
    damage(folder, 'endpoint')
    p = tycho('sql', '--store', folder, '-o', 'csv', "select count(*), max(source_pod) from flows where kind = 'flow'", check=0)
    assert p.stdout.split() == ['count(*),max(source_pod)', '10,']
    assert p.stderr == 'The store is damaged: 1 part of it could not be read. Flows, or their names, are missing here.\n'
    p = tycho('store', 'verify', '--store', folder, check=1)
    assert 'are missing or damaged, and no gap of the chain owns up to it' in p.stderr
    with Observer('--store', folder) as ob:
        for words, count in [(('--pod', 'x'), 0), ((), 10)]:
            p = tycho('observe', '--server', ob.tcp, '--all', '-o', 'json', *words, check=0)
            assert len(p.stdout.splitlines()) == count
            assert said in p.stderr
        p = tycho('evidence', 'export', '--server', ob.tcp, '-o', os.path.join(folder, 'bundle.tar.zst'), check=0)
        assert said in p.stderr
    assert len(gaps(folder, DAMAGED)) == 1
    assert check_chain(folder).count(GAP) == 2  # and that no observer ran
    assert '    store-damaged: 1 gap of ' in tycho('store', 'verify', '--store', folder, check=0).stdout


def test_sql_shows_the_rows_around_damage_and_fails(tmp_path):
    folder = str(tmp_path)
    with Observer('--store', folder, lines=[flow(i, source={'namespace': 'shop', 'pod_name': 'p-%d' % i, 'labels': ['k8s:a=' + 100 * 'b']})
                                            for i in range(100)]) as ob:
        ob.wait_seen(100)
    [(page,)] = ask(folder, "SELECT pageno FROM dbstat WHERE name = 'endpoint' AND pagetype = 'leaf' ORDER BY path LIMIT 1 OFFSET 1")
    damage(folder, page=page)
    p = tycho('sql', '--store', folder, '-o', 'csv', 'select pod from endpoints', check=1)
    pods = p.stdout.split()
    assert 10 < len(pods) < 100
    assert {'p-0', 'p-99'} <= set(pods)
    assert p.stderr == 'the store is damaged: 1 part of it could not be read, and rows are missing here\n'


def test_a_file_that_was_set_aside_is_named_and_can_be_asked(tmp_path):
    folder, old = tmp_path / 'store', tmp_path / 'old'
    with Observer('--store', str(folder), lines=[flow(i) for i in range(10)]) as ob:
        ob.wait_seen(10)
    damage(str(folder), 'meta')
    with Observer('--store', str(folder)) as ob:
        wait('the new file', lambda: 'a new one is begun' in ob.log())
        [aside] = [x for x in os.listdir(folder) if re.fullmatch(r'flows\.db\.damaged-\d+', x)]
        assert 'level=WARN msg="the history\'s file cannot be used any more; a new one is begun" old="kept as %s"' % aside in ob.log()
        old.mkdir()
        (old / 'flows.db').symlink_to(folder / aside)
        p = tycho('sql', '--store', str(old), '-o', 'csv', "select count(*) from flows where kind = 'flow'", check=0)
        assert p.stdout.split() == ['count(*)', '10']
        wait('the event', lambda: 'store-set-aside' in tycho('observe', 'agent-events', '--server', ob.tcp, '--all', check=0).stdout)


def unreadable(folder, page, size=4096):
    """An environment in which the disk cannot read a page."""
    asan = [x for x in [os.environ.get('ASAN_OPTIONS')] if x]
    return {'LD_PRELOAD': os.path.join(BIN, 'bad_disk.so'), 'ASAN_OPTIONS': ':'.join([*asan, 'verify_asan_link_order=0']),
            'BAD_DISK': '%d:%d:%s' % ((page - 1) * size, page * size, os.path.join(folder, 'flows.db'))}


def test_a_page_that_the_disk_cannot_read_is_damage_and_all_goes_on(tmp_path):
    folder = str(tmp_path)
    for run in range(2):
        with Observer('--store', folder, lines=[flow(1000 * run + i) for i in range(1000)]) as ob:
            ob.wait_seen(1000)
    page = ask(folder, "SELECT pageno FROM dbstat WHERE name = 'segment_data' AND pagetype = 'overflow' ORDER BY path")[0][0]
    bad, where = unreadable(folder, page), 'page %d (byte %d) of flows.db: Input/output error' % (page, (page - 1) * 4096)
    p = tycho('sql', '--store', folder, '-o', 'csv', "select count(*) from flows where kind = 'flow'", check=0, env=bad)
    left = int(p.stdout.split()[1])
    assert 0 < left < 2000
    assert p.stderr.startswith('The store is damaged: ')
    p = tycho('store', 'verify', '--store', folder, check=1, env=bad)
    assert 'missing or damaged, and no gap of the chain owns up to it' in p.stderr
    with Observer('--store', folder, env=bad) as ob:
        for _ in range(2):
            p = tycho('observe', '--server', ob.tcp, '--all', '-o', 'json', check=0)
            assert len(p.stdout.splitlines()) == left
            assert where in p.stderr
        tycho('evidence', 'export', '--server', ob.tcp, '-o', os.path.join(folder, 'bundle.tar.zst'), check=0)
        ob.feed([flow(i) for i in range(10)])
        ob.wait_seen(10)
        wait('word of it', lambda: where in ob.log())
        assert ob.log().count('a part of the history cannot be read; what it cost is a gap') == 1
        assert 'history is not' not in ob.log()
    assert not [x for x in os.listdir(folder) if 'damaged' in x]
    assert {detail.partition(': ')[2] for _, _, _, detail in gaps(folder, DAMAGED)} == {where}
    check_chain(folder)
    assert '    store-damaged: ' in tycho('store', 'verify', '--store', folder, check=0, env=bad).stdout


@pytest.mark.parametrize('name, all_of_it', [
    ('segment', 'SELECT zone FROM segment'),
    ('segment_sealed', 'SELECT count(*) FROM segment INDEXED BY segment_sealed'),
    ('gap', 'SELECT detail FROM gap'),
    ('checkpoint', 'SELECT text FROM checkpoint'),
])
def test_a_damaged_table_is_made_anew_and_no_flow_is_lost(tmp_path, name, all_of_it):
    def can_be_read():
        tycho('coverage', '--server', ob.tcp)
        with contextlib.suppress(sqlite3.DatabaseError):
            return ask(folder, all_of_it)

    folder = str(tmp_path)
    for run in range(2):
        with Observer('--store', folder, lines=[flow(10 * run + i) for i in range(10)]) as ob:
            ob.wait_seen(10)
    damage(folder, name)
    with Observer('--store', folder) as ob:
        wait(name, can_be_read)
        out = tycho('observe', '--server', ob.tcp, '--all', '-o', 'json', check=0).stdout
        assert len(out.splitlines()) == 20
    assert not [x for x in os.listdir(folder) if 'damaged' in x]
    tycho('store', 'verify', '--store', folder, check=0)


def test_without_a_store_nothing_is_written(tmp_path):
    with Observer('--store', 'off', '--state-dir', str(tmp_path), lines=[flow(1)]) as ob:
        ob.wait_seen(1)
    assert sorted(os.listdir(tmp_path)) == ['seq']


def test_flows_are_in_the_state_directory_unless_told_otherwise(tmp_path):
    with Observer('--state-dir', str(tmp_path), lines=[flow(i) for i in range(10)]) as ob:
        ob.wait_seen(10)
    assert check_segments(str(tmp_path)) == 10 + 1  # and that the agent started
    assert check_chain(str(tmp_path))[0] == START


@pytest.mark.parametrize('is_link', [False, True])
def test_the_history_is_for_its_owner_only_wherever_a_link_puts_it(is_link):
    with contextlib.ExitStack() as stack:
        ob = Observer(lines=[flow(0)])
        state, elsewhere = (os.path.join(ob.folder, name) for name in ('state', 'elsewhere'))
        os.mkdir(state)
        os.mkdir(elsewhere)
        if is_link:
            os.symlink(os.path.join(elsewhere, 'flows.db'), os.path.join(state, 'flows.db'))
        stack.callback(os.umask, os.umask(0))
        with ob:
            wait('sealed', lambda: ask(state, 'SELECT count(*) FROM entry')[0][0] > 0)
            modes = {name: os.stat(os.path.join(folder, name)).st_mode & 0o777
                     for folder in (state, elsewhere) for name in os.listdir(folder) if name.startswith('flows.db')}
            assert len(modes) == 3 and set(modes.values()) == {0o600}, modes
