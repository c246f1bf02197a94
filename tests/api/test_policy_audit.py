"""tycho policy audit asks an observer for the flows of a range, and whether its record is whole."""
import json
import os
import subprocess

from observer import BIN, Observer, flow

POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: store}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{ports: [{port: 80}]}, {ports: [{port: 81}]}]
"""


def audit(ob, policy, *words):
    p = subprocess.run([os.path.join(BIN, 'tycho'), 'policy', 'audit', policy, '--server', ob.addresses[0], *words], capture_output=True, text=True,
                       timeout=60)
    assert p.returncode == 0, p.stderr
    return p.stdout


def test_the_flows_of_a_server_are_put_beside_the_policies(tmp_path):
    db = {'namespace': 'store', 'pod_name': 'db-0', 'identity': 4002, 'labels': ['k8s:app=db']}
    (tmp_path / 'db.yaml').write_text(POLICY)
    words = [tmp_path / 'db.yaml', '--since', '2023-11-14T22:13:30Z']
    with Observer(lines=[flow(i, destination=db) for i in range(50)]) as ob:
        text, rows = audit(ob, *words), [json.loads(row) for row in audit(ob, *words, '-o', 'json').splitlines()]
    # a second apart from 22:13:20 on: the first ten are not asked for
    assert '\n40 flows, 39s: 2023-11-14T22:13:30Z to 2023-11-14T22:14:09Z' in text
    assert 'UNUSED: no flow was decided by these\nknp:store/db#ingress[1]  (%s)\n' % words[0] in text
    assert [(r['rule'], r['flows']) for r in rows[:2]] == [('knp:store/db#ingress[0]', 40), ('knp:store/db#ingress[1]', 0)]
    remarks = rows[-1]['summary']['remarks']
    assert any(r.startswith(('complete: ', 'incomplete: ')) for r in remarks) and all(r + '\n' in text for r in remarks)
