"""What Hubble's command of 1.19.4 does where no recorded case looks: each expected answer follows from the named source of Cilium
1.19.4."""
import json
import os
import subprocess

import pytest

TYCHO = os.path.join(os.environ['TYCHO_BUILD'], 'bin', 'tycho')


def tycho(*words, **env):
    """Exit code, stdout and stderr of a run without input, in an environment of these variables alone, and of a sanitizer's."""
    of_sanitizers = {k: v for k, v in os.environ.items() if k.endswith('SAN_OPTIONS')}
    done = subprocess.run([TYCHO, *map(str, words)], env=of_sanitizers | env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=30)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def observe(lines, *words, **env):
    """Exit code, stdout and stderr of a run over these lines."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(('HUBBLE_', 'TYCHO_')) or k == 'TYCHO_BUILD'}
    done = subprocess.run([TYCHO, 'observe', '--input-file', '-', *words], input='\n'.join(lines).encode(), env=clean | env,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


# hubble/cmd/common/config/compat.go: the list is split at commas, its words compared in lower case and not trimmed
@pytest.mark.parametrize('compat, legacy', [('legacy-json-output', True), ('Legacy-JSON-Output', True), ('x,legacy-json-output', True),
                                            (' legacy-json-output', False), ('legacy', False)])
def test_the_word_for_old_json_is_compared_without_case(compat, legacy):
    code, out, _ = observe(['{"flow":{"uuid":"u"},"node_name":"n"}'], '-o', 'json', HUBBLE_COMPAT=compat)
    assert code == 0
    assert json.loads(out) == ({'uuid': 'u'} if legacy else {'flow': {'uuid': 'u'}, 'node_name': 'n'})


# strings.EqualFold in pkg/hubble/filters/http.go: the long s is an s
@pytest.mark.parametrize('asked, seen', [('PO\u017fT', 'POST'), ('POST', 'po\u017ft'), ('post', 'POST')])
def test_methods_are_compared_without_case_in_any_script(asked, seen):
    line = json.dumps({'flow': {'uuid': 'u', 'l7': {'http': {'method': seen}}}})
    code, out, _ = observe([line], '-o', 'json', '--http-method', asked)
    assert (code, len(out.splitlines())) == (0, 1)


# hubble/cmd/observe/flows_filter.go
def test_an_empty_drop_reason_is_called_empty():
    assert observe([], '--drop-reason-desc', '') == (
        1, '', 'invalid argument "" for "--drop-reason-desc" flag: empty --drop-reason-desc value\n')


# viper's config file is YAML of yaml.v3: null is no value, and a key that stands twice makes the file unreadable, which is no error
@pytest.mark.parametrize('text, server', [('server: x:1\n', 'x:1'), ('server: null\n', 'localhost:4245'), ('server: ~\n', 'localhost:4245'),
                                          ('server:\n', 'localhost:4245'), ('server: "~"\n', '"~"'),
                                          ('server: x:1\nserver: y:1\n', 'localhost:4245')])
def test_what_a_configuration_file_says(tmp_path, text, server):
    (tmp_path / 'c.yaml').write_text(text)
    assert tycho('config', 'get', 'server', '--config', tmp_path / 'c.yaml') == (0, server + '\n', '')


# hubble/cmd/config/set.go gives viper a string for what is one, and yaml.v3 quotes it where it could be something else
@pytest.mark.parametrize('key, value, line', [('kube-namespace', '0x10', 'kube-namespace: "0x10"'), ('kube-namespace', '90', 'kube-namespace: "90"'),
                                              ('kube-namespace', 'true', 'kube-namespace: "true"'), ('tls', 'true', 'tls: true'),
                                              ('timeout', '90s', 'timeout: 1m30s')])
def test_strings_are_written_as_strings(tmp_path, key, value, line):
    assert tycho('config', 'set', key, value, '--config', tmp_path / 'c.yaml')[0] == 0
    assert (tmp_path / 'c.yaml').read_text() == line + '\n'


# hubble/cmd/root.go: with -D, every command says which file it has read, if any
def test_debug_names_the_configuration_file(tmp_path):
    file = tmp_path / 'c.yaml'
    assert tycho('config', 'get', 'server', '-D', '--config', file)[2] == ''
    file.write_text('server: x:1\n')
    assert f'level=DEBUG msg="Using config file" configFile={file}' in tycho('config', 'get', 'server', '-D', '--config', file)[2]


# WriteProtoNodeStatusEvent in hubble/pkg/printer/printer.go counts an entry of a dict also where --silent-errors hides it
@pytest.mark.parametrize('state, flags, separated', [('NODE_ERROR', [], True), ('NODE_ERROR', ['-s'], True), ('NODE_CONNECTED', ['-s'], False)])
def test_an_entry_is_set_off_from_a_hidden_node_status(state, flags, separated):
    status = json.dumps({'node_status': {'state_change': state, 'node_names': ['n']}})
    code, out, err = observe([status, '{"flow":{}}'], '-o', 'dict', *flags)
    assert code == 0
    assert out.startswith('------------\n  TIMESTAMP' if separated else '  TIMESTAMP')
    assert ('STATE' in err) == (state == 'NODE_ERROR' and not flags)


# hubble/cmd/root.go passes over a file that cannot be read, and viper over a word that is none; where no server is asked, nobody need be told
@pytest.mark.parametrize('text, env', [('server: [x', {}), (None, {}), ('tls: maybe', {}), ('', {'HUBBLE_TLS': 'yes', 'HUBBLE_REQUEST_TIMEOUT': 'x'})])
def test_flows_of_a_file_need_no_settings_of_servers(tmp_path, text, env):
    if text is not None:
        (tmp_path / 'c.yaml').write_text(text)
    words = '-o', 'json', '--config', str(tmp_path / 'c.yaml')
    assert observe(['{"flow":{"uuid":"u"}}'], *words, **env) == (0, '{"flow":{"uuid":"u"}}\n', '')
    assert tycho('observe', '--print-raw-filters', *words, **env) == (0, '{}\n', '')
    assert tycho('observe', '--server', f'unix://{tmp_path}/none', *words, **env)[2].count('\n') == (2 if not env and text != 'tls: maybe' else 1)


# viper keeps what yaml.v3 made of the words of a file: numbers and truth values, unless they are quoted
@pytest.mark.parametrize('text, shown, got', [
    ('0x10', '16', '"16"'), ('1_000', '1000', '"1000"'), ('010', '8', '"8"'), ('08', '8', '"8"'), ('+5', '5', '"5"'), ('-0b11', '-3', '"-3"'),
    ('-0', '0', '"0"'), ('0xffffffffffffffff', '18446744073709551615', '"18446744073709551615"'), ('TRUE', 'true', '"true"'),
    ('False', 'false', '"false"'), ('"0x10"', '"0x10"', '"0x10"'), ("'TRUE'", '"TRUE"', '"TRUE"'), ('yes', '"yes"', '"yes"'), ('1.5', '1.5', '"1.5"')])
def test_a_file_holds_values(tmp_path, text, shown, got):
    (tmp_path / 'c.yaml').write_text(f'server: {text}\n')
    assert f'\nserver: {shown}\n' in tycho('config', 'view', '--config', tmp_path / 'c.yaml')[1]
    assert tycho('config', 'get', 'server', '--config', tmp_path / 'c.yaml') == (0, got + '\n', '')


# ... and so in lists
@pytest.mark.parametrize('text, shown', [('["1", "true"]', '    - "1"\n    - "true"\n'), ('[0x10, TRUE]', '    - 16\n    - true\n'),
                                         ('[a, " b"]', "    - a\n    - ' b'\n")])
def test_a_list_holds_values(tmp_path, text, shown):
    (tmp_path / 'c.yaml').write_text(f'tls-ca-cert-files: {text}\n')
    assert f'\ntls-ca-cert-files:\n{shown}tls-client' in tycho('config', 'view', '--config', tmp_path / 'c.yaml')[1]


# pflag's uint16 shows itself in decimal
def test_a_port_is_shown_in_decimal():
    assert tycho('config', 'get', 'port-forward-port', '--port-forward-port', '0x10') == (0, '"16"\n', '')
    assert '\nport-forward-port: "16"\n' in tycho('config', 'view', '--port-forward-port', '020')[1]
