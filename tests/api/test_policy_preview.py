"""tycho policy preview asks an observer for the flows of a range."""
import json
import os
import subprocess

from observer import BIN, Observer, flow

POLICY = {'apiVersion': 'networking.k8s.io/v1', 'kind': 'NetworkPolicy', 'metadata': {'name': 'db', 'namespace': 'store'},
          'spec': {'podSelector': {}, 'ingress': [{'ports': [{'port': 443}]}]}}


def test_the_flows_of_a_server_are_put_to_policies(tmp_path):
    path = tmp_path / 'p.json'
    path.write_text(json.dumps(POLICY))
    db = {'namespace': 'store', 'pod_name': 'db-0', 'identity': 4002, 'labels': ['k8s:app=db']}
    with Observer(lines=[flow(i, destination=db) for i in range(50)]) as ob:
        p = subprocess.run([os.path.join(BIN, 'tycho'), 'policy', 'preview', '--server', ob.addresses[0], '-f', path, '-o', 'json',
                            '--since', '2023-11-14T22:13:30Z'], capture_output=True, text=True, timeout=60)
    rows = [json.loads(line) for line in p.stdout.splitlines()]
    assert p.returncode == 1, p.stderr
    # a second apart from 22:13:20 on: the first ten are not asked for
    assert rows[0] == {'change': 'denied', 'flows': 40, 'source': 'shop/cart-0', 'destination': 'store/db-0', 'port': 80, 'protocol': 'TCP',
                       'direction': 'ingress', 'by': ['knp:store/db']}
    assert 'flows that passed would be denied' in p.stderr
