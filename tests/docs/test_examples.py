"""docs/filters.md shows what the command prints."""
import os
import re
import shlex
import subprocess

import pytest

from test_docs import BIN, read

EXAMPLES = re.findall(r'^```\n\$ (tycho [^\n]*)\n(.*?)^```$', read('docs/filters.md'), re.M | re.S)


def test_there_are_examples():
    assert len(EXAMPLES) > 5


@pytest.mark.parametrize('command, shown', EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_an_example_prints_what_the_page_shows(command, shown, tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith(('TYCHO_', 'HUBBLE_'))}
    env.update(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path))
    p = subprocess.run([os.path.join(BIN, 'tycho'), *shlex.split(command)[1:]], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, env=env, cwd=tmp_path)
    assert (p.returncode, p.stderr, p.stdout) == (0, '', shown)
