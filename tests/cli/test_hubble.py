"""What Hubble's command of 1.19.4 does where no recorded case looks: each expected answer follows from the named source of Cilium
1.19.4."""
import json
import os
import subprocess

import pytest

TYCHO = os.path.join(os.environ['TYCHO_BUILD'], 'bin', 'tycho')


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
