"""against.py, which needs Cilium's policy engine, with a few lines in its place: it finds what differs, and nothing else."""
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
AGAINST = os.path.join(HERE, 'against.py')
OURS = os.path.join(os.environ['TYCHO_BUILD'], 'bin', 'correlation_policies')
# Whatever it is asked: an endpoint whose ingress on port 80 a policy allows to identity 30500, and one connection that it decided.
ENGINE = '''#!/usr/bin/python3
import json, sys
for line in sys.stdin:
    labels = ['k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy', 'k8s:io.cilium.k8s.policy.name=a']
    rule = {'rule': json.dumps({'port': 80, 'protocol': 'TCP', 'l7-rules': [{'clients': None}]}), 'derived-from-rules': [labels],
            'rules-by-selector': {'clients': [labels]}}
    realized = {'policy-revision': 7, 'policy-enabled': 'ingress', 'l4': {'ingress': [rule], 'egress': []}}
    verdict = {'egress': False, 'identity': 30500, 'protocol': 6, 'port': 80, 'match': 2, 'denied': False, 'range': False,
               'policies': [{'name': '%s', 'labels': labels, 'revision': '7', 'kind': 'CiliumNetworkPolicy'}]}
    print(json.dumps({'endpoints': [{'id': 34, 'status': {'policy': {'realized': realized}}}],
                      'selectors': [{'selector': 'clients', 'identities': [30500]}], 'verdicts': [verdict]}))
'''


def against(tmp_path, name):
    engine = tmp_path / 'engine'
    engine.write_text(ENGINE % name)
    engine.chmod(0o755)
    done = subprocess.run(['/usr/bin/python3', AGAINST, '--bin', OURS, '--reference', str(engine), '--runs', '20'], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120)
    return done.returncode, done.stdout


def test_the_same_policies_are_no_difference(tmp_path):
    assert against(tmp_path, 'a') == (
        0, 'against: 20 verdicts of 20 sets of rules (0 refused), 0 without a policy that Hubble names, 0 answered differently\n')


def test_another_policy_is_told(tmp_path):
    code, out = against(tmp_path, 'b')
    assert code == 1
    assert 'rules: [' in out and '  verdict: {' in out and '  ours: [' in out
    assert out.endswith('20 answered differently\n')
