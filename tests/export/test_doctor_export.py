"""tycho-observer --doctor of exporters: what it would say at the start, and what only a full or a foreign disk would show."""
import json
import os
import subprocess
import tempfile

import pytest

from observer import BIN

NOBODY = 65534


def export_of(*options, code=0, user=None, **kw):
    """[(result, detail, fix)] of the check `export`; the others are not ours, the ports are kept out of it."""
    p = subprocess.run([os.path.join(BIN, 'tycho-observer'), '--doctor', 'json', '--no-bpf', *options], capture_output=True, text=True, timeout=60,
                       user=user, group=user, extra_groups=None if user is None else [], **kw)
    lines = [x for x in map(json.loads, p.stdout.splitlines()) if x['check'] == 'export']
    assert (code == 1) == any(x['result'] == 'fail' for x in lines), p.stdout + p.stderr
    return [(x['result'], x['detail'], x.get('fix', '')) for x in lines]


def said(lines):
    return [(result, detail) for result, detail, _ in lines]


@pytest.fixture
def folder():
    """One that everybody may look into."""
    with tempfile.TemporaryDirectory(prefix='tycho-export-') as path:
        os.chmod(path, 0o755)
        yield path


def file_of(folder, text):
    path = os.path.join(folder, 'exporters.yaml')
    with open(path, 'w') as f:
        f.write(text)
    return path


def test_nothing_is_said_where_nothing_is_exported():
    assert export_of() == []


def test_what_can_be_written_is_said_so_and_nothing_is_made(folder):
    old, new = os.path.join(folder, 'old.log'), os.path.join(folder, 'a', 'b', 'new.log')
    open(old, 'w').close()
    config = file_of(folder, 'flowLogs: [{name: one, filePath: %s, fileMaxSizeMb: 1, fileMaxBackups: 1}, {name: two, filePath: stdout}]' % new)
    assert said(export_of('--export-file-path', old, '--export-file-max-size-mb', '1', '--flowlogs-config-path', config)) == [
        ('ok', "'%s' can be written" % old), ('ok', '%s names 2 exporters' % config), ('ok', "'%s' can be made" % new),
        ('ok', 'lines go to standard output')]
    assert sorted(os.listdir(folder)) == ['exporters.yaml', 'old.log'] and os.path.getsize(old) == 0


def test_a_pipe_is_told_apart(folder):
    path = os.path.join(folder, 'pipe')
    os.mkfifo(path)
    assert said(export_of('--export-file-path', path)) == [('ok', "'%s' is a pipe or a device, and can be written" % path)]


def test_a_folder_is_no_file(folder):
    assert said(export_of('--export-file-path', folder, code=1)) == [('fail', "'%s' is a folder" % folder)]
    path = os.path.join(file_of(folder, ''), 'flows.log')
    assert said(export_of('--export-file-path', path, code=1)) == [('fail', "'%s': Not a directory" % path)]


def test_rights_are_those_of_who_runs_it(folder):
    path = os.path.join(folder, 'flows.log')
    assert said(export_of('--export-file-path', path, user=NOBODY, code=1)) == [('fail', "'%s': Permission denied" % folder)]
    open(path, 'w').close()
    os.chmod(path, 0o666)
    result, detail, fix = export_of('--export-file-path', path, user=NOBODY, code=1)[0]
    assert (result, detail) == ('fail', "'%s' can be written, but not renamed when it is full: '%s': Permission denied" % (path, folder))
    assert 'owner' in fix
    os.chown(folder, NOBODY, NOBODY)
    assert said(export_of('--export-file-path', path, user=NOBODY)) == [('ok', "'%s' can be written" % path)]


def test_what_root_may_only_by_a_capability_the_unit_may_not(folder):
    """That root has here, and not in the unit."""
    os.chown(folder, NOBODY, NOBODY)
    path = os.path.join(folder, 'flows.log')
    (result, detail, _), = export_of('--export-file-path', path)
    assert (result, detail) == ('warn', "'%s' can be made, but only with CAP_DAC_OVERRIDE, which the unit of the package has not" % path)


def test_room_is_compared_with_what_files_may_take(folder):
    """A disk of three MiB."""
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', folder], check=True)
    try:
        path = os.path.join(folder, 'flows.log')
        small = ['--export-file-path', path, '--export-file-max-size-mb', '1', '--export-file-max-backups']
        assert said(export_of(*small, '1')) == [('ok', "'%s' can be made" % path)]
        assert said(export_of(*small, '5')) == [('ok', "'%s' can be made" % path), (
            'warn', "3 MiB are left where '%s' is, and its files may take 6 MiB" % path)]
        with open(os.path.join(folder, 'full'), 'wb') as f:
            f.write(b'x' * (3 << 20))
        assert said(export_of(*small, '1', code=1)) == [('ok', "'%s' can be made" % path), ('fail', "no room is left where '%s' is" % path)]
        subprocess.run(['mount', '-o', 'remount,ro', folder], check=True)
        assert said(export_of(*small, '1', code=1)) == [('fail', "'%s': Read-only file system" % folder)]
    finally:
        subprocess.run(['umount', folder], check=True)


@pytest.mark.parametrize('options, sentence', [
    (['--export-fieldmask', 'source.nonsense'], '--export-fieldmask: '),
    (['--export-allowlist', '{"source_ip":["nonsense"]}'], '--export-allowlist: '),
    (['--export-allowlist', '{"nonsense":[]}'], '--export-allowlist '),
    (['--export-denylist', '{"uuid":["a"]} {"experimental":{"cel_expression":["nonsense"]}}'], '--export-denylist: '),
], ids=lambda x: x[0] if isinstance(x, list) else '')
def test_options_that_mean_nothing_are_faults(folder, options, sentence):
    (result, detail, _), = export_of('--export-file-path', os.path.join(folder, 'x'), *options, code=1)
    assert result == 'fail' and detail.startswith(sentence)
    assert os.listdir(folder) == []


@pytest.mark.parametrize('text, sentence', [
    ('flowLogs: [{filePath: x}]', 'name'),
    ('flowLogs: [{name: a, filePath: FOLDER/x, nonsense: 1}]', 'nonsense'),
    ('flowLogs: [{name: a, filePath: FOLDER/x, fieldMask: [nonsense]}]', "'a': fieldMask: "),
    ('flowLogs: [{name: a, filePath: FOLDER/fixed.log}]', "'a': filePath is that of --export-file-path"),
    (']', 'line 1'),
], ids=['no name', 'a key', 'a mask', 'the same file', 'no YAML'])
def test_a_file_that_is_wrong_is_found_before_it_is_needed(folder, text, sentence):
    config = file_of(folder, text.replace('FOLDER', folder))
    faults = [x for x in export_of('--export-file-path', folder + '/fixed.log', '--flowlogs-config-path', config, code=1) if x[0] == 'fail']
    assert len(faults) == 1 and sentence in faults[0][1]


def test_a_file_that_is_missing_and_one_that_counts_without_an_interval(folder):
    (result, detail, fix), = export_of('--flowlogs-config-path', folder + '/none.yaml', code=1)
    assert result == 'fail' and 'No such file' in detail and 'runs without' in fix
    lines = export_of('--flowlogs-config-path', file_of(folder, 'flowLogs: [{name: a, filePath: stdout, fieldAggregate: [source.namespace]}]'))[1:]
    assert [x[0] for x in lines] == ['warn', 'ok'] and 'every flow is written' in lines[0][1]
