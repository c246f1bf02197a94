"""tycho policy suggest asks an observer for the flows of a range, and whether its record is whole."""
import os
import subprocess

import yaml

from observer import BIN, Observer, flow


def suggest(ob, *words):
    p = subprocess.run([os.path.join(BIN, 'tycho'), 'policy', 'suggest', '--server', ob.addresses[0], *words], capture_output=True, text=True,
                       timeout=60)
    assert p.returncode == 0, p.stderr
    return p.stdout, p.stderr


def test_the_flows_of_a_server_are_policies():
    db = {'namespace': 'store', 'pod_name': 'db-0', 'identity': 4002, 'labels': ['k8s:app=db']}
    with Observer(lines=[flow(i, destination=db) for i in range(50)]) as ob:
        text, said = suggest(ob, '-n', 'store', '--since', '2023-11-14T22:13:30Z')
    policy, = yaml.safe_load_all(text)
    assert policy['metadata'] == {'name': 'db', 'namespace': 'store'} and policy['spec']['egress'] == []
    rule, = policy['spec']['ingress']
    assert rule['ports'] == [{'port': 80, 'protocol': 'TCP'}]
    # a second apart from 22:13:20 on: the first ten are not asked for
    assert text.startswith('# Made by tycho policy suggest of 40 flows, 2023-11-14T22:13:30Z to 2023-11-14T22:14:09Z.\n')
    remarks = [row for row in said.splitlines() if row.startswith(('complete', 'incomplete'))]
    assert remarks and all('# ' + row in text.splitlines() for row in remarks)
