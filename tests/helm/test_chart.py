"""The chart as a whole: what it makes is accepted by Kubernetes, holds together, and asks for no right too many."""
import base64
import json
import os
import re
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from chart import BIN, CHART, ROOT, Case, leaves, render, validate, values
from matrix import CASES

PROGRAMS = {'observer': 'tycho-observer', 'relay': 'tycho-relay', 'archive': 'tycho-relay', 'ui': 'tycho-ui'}
CLUSTER_WIDE = {'ClusterRole', 'ClusterRoleBinding'}


@pytest.fixture(scope='module', autouse=True)
def rendered():
    render(CASES.values())


@pytest.fixture(params=sorted(CASES))
def case(request):
    c = CASES[request.param]
    assert c.error is None, c.error
    return c


def read(*path):
    with open(os.path.join(ROOT, *path), encoding='utf-8') as f:
        return f.read()


def pods(case):
    return {o['metadata']['labels']['app.kubernetes.io/component']: o for o in case.objects if o['kind'] in ('DaemonSet', 'Deployment')}


def covers(selector, labels):
    return all(labels.get(k) == v for k, v in selector.items())


# --- what is accepted


def test_every_object_is_accepted_by_the_schemas_of_its_kind():
    assert [said for said in validate([o for c in CASES.values() for o in c.objects]) if said] == []


def test_the_validator_refuses_what_an_api_server_refuses():
    daemons = CASES['default'].get('DaemonSet', 'tycho-observer')
    changes = [
        lambda pod: None,
        lambda pod: pod.update(hostNetwork='yes'),
        lambda pod: pod.update(hostNetworks=True),
        lambda pod: pod['containers'][0]['securityContext']['capabilities'].update(adds=['BPF']),
        lambda pod: pod['containers'][0].pop('name'),
    ]
    broken = [json.loads(json.dumps(daemons)) for _ in changes]
    for change, copy in zip(changes, broken):
        change(copy['spec']['template']['spec'])
    said = validate(broken + [dict(daemons, kind='DeamonSet')])
    assert [len(s) for s in said] == [0, 1, 1, 1, 1, 1]
    assert said[2] == ['DaemonSet tycho-observer: unknown member .spec.template.spec.hostNetworks']
    assert said[5] == ['DeamonSet tycho-observer: no schema of apps/v1/DeamonSet']


def test_every_option_of_a_container_is_read_by_its_program(case):
    for component, workload in pods(case).items():
        container = workload['spec']['template']['spec']['containers'][0]
        assert container['command'] == [PROGRAMS[component]]
        p = subprocess.run([os.path.join(BIN, PROGRAMS[component]), *container['args'], '--help'], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
        assert p.returncode == 0, p.stderr


def test_the_observer_is_given_no_option_without_what_it_needs(case):
    # what it says of a folder that cannot be made, it says when all options are read and none is at odds with another
    for component, workload in pods(case).items():
        container = workload['spec']['template']['spec']['containers'][0]
        if component == 'observer':
            p = subprocess.run([os.path.join(BIN, PROGRAMS[component]), *container['args'], '--state-dir=/dev/null/x'],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
            assert p.returncode == 1 and "make folder '/dev/null" in p.stderr, p.stderr


def test_the_parser_would_have_said_what_is_wrong():
    p = subprocess.run([os.path.join(BIN, 'tycho-relay'), '--no-such-option', '--help'], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert p.returncode == 1


# --- what holds together


def test_names_and_namespaces_are_such_that_kubernetes_takes_them(case):
    seen = set()
    for o in case.objects:
        meta = o['metadata']
        assert re.fullmatch(r'[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?', meta['name'])
        assert ('namespace' in meta) == (o['kind'] not in CLUSTER_WIDE)
        assert meta['labels']['app.kubernetes.io/managed-by'] == 'Helm'
        key = o['kind'], meta['name']
        assert key not in seen
        seen.add(key)


def test_nothing_is_left_of_a_template(case):
    for name, text in case.texts.items():
        if not name.endswith('monitoring.yaml'):  # alert rules have templates of their own
            assert '{{' not in text.replace("'{{ ", '') or name.endswith('NOTES.txt'), name


def test_selectors_find_pods_and_ports_have_names(case):
    workloads = pods(case)
    for o in workloads.values():
        labels = o['spec']['template']['metadata']['labels']
        assert covers(o['spec']['selector']['matchLabels'], labels)
        assert not any('version' in k or 'chart' in k for k in o['spec']['selector']['matchLabels'])  # they never change
    for o in case.objects:
        spec = o.get('spec', {})
        if o['kind'] == 'Service':
            found = [w for w in workloads.values() if covers(spec['selector'], w['spec']['template']['metadata']['labels'])]
            ports = [p['name'] for w in found for p in w['spec']['template']['spec']['containers'][0]['ports']]
            assert len(found) == 1 and all(p['targetPort'] in ports for p in spec['ports'])
        if o['kind'] in ('PodDisruptionBudget', 'NetworkPolicy'):
            selector = (spec.get('selector') or spec['podSelector'])['matchLabels']
            assert any(covers(selector, w['spec']['template']['metadata']['labels']) for w in workloads.values())
        if o['kind'] == 'ServiceMonitor':
            selector = spec['selector']['matchLabels']
            found = [s for s in case.objects if s['kind'] == 'Service' and covers(selector, s['metadata']['labels'])]
            assert len(found) == 1 and spec['endpoints'][0]['port'] in [p['name'] for p in found[0]['spec']['ports']]
            assert found[0]['metadata']['labels'][spec['jobLabel']] in ('tycho-observer', 'tycho-relay')
        if o['kind'] == 'Ingress':
            for rule in spec['rules']:
                backend = rule['http']['paths'][0]['backend']['service']
                ports = case.get('Service', backend['name'])['spec']['ports']
                assert backend['port']['name'] in [p['name'] for p in ports]


def test_jobs_are_those_that_the_rules_ask_for():
    c = CASES['everything']
    asked = set(re.findall(r'job="([\w-]+)"', json.dumps(c.get('PrometheusRule', 'tycho')['spec']).replace('\\"', '"')))
    jobs = {o['metadata']['labels'].get('tycho/job') for o in c.objects if o['kind'] == 'Service'} - {None}
    assert asked and asked <= jobs


def test_volumes_are_mounted_and_what_they_hold_is_there(case):
    said = json.dumps(case.input['values'])
    secrets = {o['metadata']['name']: o for o in case.objects if o['kind'] == 'Secret'}
    secrets.update((o['spec']['secretName'], None) for o in case.objects if o['kind'] == 'Certificate')
    for o in pods(case).values():
        pod = o['spec']['template']['spec']
        volumes = {v['name']: v for v in pod.get('volumes') or []}
        mounts = pod['containers'][0]['volumeMounts'] or []
        assert {m['name'] for m in mounts} == set(volumes)
        for v in volumes.values():
            if 'secret' in v:
                name = v['secret']['secretName']
                assert name in secrets or '"%s"' % name in said
            if 'configMap' in v:
                case.get('ConfigMap', v['configMap']['name'])
        # every file that an option names is in a mount, and in what is mounted
        for option in pod['containers'][0]['args']:
            path = re.fullmatch(r'--[a-z-]+=(/etc/tycho/.*)', option)
            if path:
                folder, name = path.group(1).rsplit('/', 1)
                mount, = [m for m in mounts if m['mountPath'] == folder]
                volume = volumes[mount['name']]
                holder = volume.get('secret', {}).get('secretName') or volume['configMap']['name']
                kept = secrets.get(holder) if 'secret' in volume else case.get('ConfigMap', holder)
                assert kept is None or name in kept['data']


# --- what is allowed


def test_no_pod_has_a_right_that_it_does_not_need(case):
    for component, o in pods(case).items():
        pod = o['spec']['template']['spec']
        container, = pod['containers']
        context = container['securityContext']
        assert pod['securityContext']['seccompProfile'] == {'type': 'RuntimeDefault'}
        assert context['readOnlyRootFilesystem'] is True and context['allowPrivilegeEscalation'] is False
        assert context['capabilities']['drop'] == ['ALL'] and 'privileged' not in context
        assert 'hostPID' not in pod and 'hostIPC' not in pod
        paths = {v['hostPath']['path'] for v in pod.get('volumes') or [] if 'hostPath' in v}
        if component == 'observer':
            assert paths <= {'/var/lib/tycho', '/var/log/tycho', '/var/run/cilium', '/sys/fs/bpf', '/run/netns'}
        else:
            assert not paths and 'hostNetwork' not in pod and 'add' not in context['capabilities']
            assert pod['securityContext']['runAsNonRoot'] is True and pod['automountServiceAccountToken'] is False


def test_the_observer_has_the_capabilities_that_it_asks_for():
    asked = re.findall(r'\{ "CAP_(\w+)", CAP_\w+, (?:true|false) \}', read('observer', 'source', 'bpf.c'))
    added = CASES['default'].container('observer')['securityContext']['capabilities']['add']
    assert sorted(added) == sorted(asked) == ['BPF', 'NET_ADMIN', 'PERFMON']


def test_the_default_mounts_nothing_of_the_node_but_the_record():
    pod = CASES['default'].get('DaemonSet', 'tycho-observer')['spec']['template']['spec']
    assert [v['hostPath']['path'] for v in pod['volumes'] if 'hostPath' in v] == ['/var/lib/tycho']


def test_the_role_is_what_the_observer_lists_and_watches():
    asked = set()
    for path in re.findall(r'"/(apis?/[a-z0-9./]+)"', read('observer', 'kubernetes', 'follow.c')):
        words = path.split('/')
        asked.add((words[1] if words[0] == 'apis' else '', words[-1]))
    rules = CASES['default'].get('ClusterRole', 'tycho-observer')['rules']
    assert {(g, r) for rule in rules for g in rule['apiGroups'] for r in rule['resources']} == asked
    assert all(rule['verbs'] == ['list', 'watch'] and set(rule) == {'apiGroups', 'resources', 'verbs'} for rule in rules)


def test_events_are_written_only_where_drops_are_told():
    rules = [CASES[name].get('ClusterRole', 'tycho-observer')['rules'] for name in ('default', 'everything')]
    assert [rule for rule in rules[1] if rule not in rules[0]] == [{'apiGroups': [''], 'resources': ['events'], 'verbs': ['create', 'patch']}]


def test_without_kubernetes_there_is_no_token_and_no_role():
    c = CASES['observers alone']
    assert not c.has('ClusterRole', 'tycho-observer') and not c.has('ServiceAccount', 'tycho-observer')
    pod = c.get('DaemonSet', 'tycho-observer')['spec']['template']['spec']
    assert pod['automountServiceAccountToken'] is False and pod['serviceAccountName'] == 'default'


# --- certificates


def pem(secret, key):
    return base64.b64decode(secret['data'][key])


def names_of(secret):
    cert = x509.load_pem_x509_certificate(pem(secret, 'tls.crt'))
    return cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


def test_certificates_of_helm_are_signed_by_its_authority_and_have_the_names_that_are_expected():
    c = CASES['everything']
    ca = x509.load_pem_x509_certificate(pem(c.get('Secret', 'tycho-ca'), 'tls.crt'))
    for o in c.objects:
        if o['kind'] == 'Secret' and o['metadata']['name'].endswith('-certs'):
            cert = x509.load_pem_x509_certificate(pem(o, 'tls.crt'))
            ca.public_key().verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(cert.signature_hash_algorithm))
            assert pem(o, 'ca.crt') == pem(c.get('Secret', 'tycho-ca'), 'tls.crt')
    peers = [a for a in c.container('relay')['args'] if a.startswith('--peer-dns=')]
    assert peers == ['--peer-dns=%s:4244' % names_of(c.get('Secret', 'tycho-server-certs'))[0]]
    server = [a for a in c.container('ui')['args'] if a.startswith('--server=')]
    assert server == ['--server=tls://%s:443' % names_of(c.get('Secret', 'tycho-relay-server-certs'))[0]]
    assert 'tycho.example' in names_of(c.get('Secret', 'tycho-ui-server-certs'))
    assert c.get('ConfigMap', 'tycho-observer')['data']['observer'].split('\n')[0] == 'cert %s *' % names_of(
        c.get('Secret', 'tycho-relay-client-certs'))[0]


def test_observers_have_the_names_that_they_tell_of_themselves():
    """Any node's, and the cluster's as one label."""
    labels = {'default': 'default', '': 'default', 'eu.west': 'eu-west'}
    for case, label in zip(render(Case(values(cluster__name=name)) for name in labels), labels.values()):
        assert names_of(case.get('Secret', 'tycho-server-certs')) == [
            'tycho-peer.obs.svc.cluster.local', '*.%s.hubble-grpc.cilium.io' % label]


def test_cert_manager_is_asked_for_the_same_certificates():
    helm, manager = CASES['everything'], CASES['certmanager']
    made = {o['metadata']['name']: names_of(o) for o in helm.objects if o['kind'] == 'Secret' and o['metadata']['name'].endswith('-certs')}
    asked = {o['spec']['secretName']: o['spec']['dnsNames'] for o in manager.objects if o['kind'] == 'Certificate'}
    assert made == asked
    assert [o['metadata']['name'] for o in manager.objects if o['kind'] == 'Secret'] == ['tycho-ui-login']


def test_an_upgrade_keeps_authority_and_password_and_makes_new_certificates():
    first, = render([Case(values(hubble__ui__enabled=True))])
    kept = [o for o in first.objects if o['kind'] == 'Secret']
    second, = render([Case(values(hubble__ui__enabled=True), revision=2, cluster=kept)])
    for name in ('tycho-ca', 'tycho-ui-login'):
        assert first.get('Secret', name)['data'] == second.get('Secret', name)['data']
    assert first.get('Secret', 'tycho-server-certs')['data'] != second.get('Secret', 'tycho-server-certs')['data']
    assert pods(first) == pods(second)  # certificates are read again: no pod is restarted for them, nobody logged out


def test_days_are_those_of_the_certificates():
    c, = render([Case(values(tls__ca__certValidityDuration=10, hubble__tls__auto__certValidityDuration=3))])
    for name, days in (('tycho-ca', 10), ('tycho-server-certs', 3)):
        cert = x509.load_pem_x509_certificate(pem(c.get('Secret', name), 'tls.crt'))
        assert (cert.not_valid_after - cert.not_valid_before).days == days


def test_an_authority_of_ones_own_signs():
    helm = CASES['default'].get('Secret', 'tycho-ca')['data']
    c, = render([Case(values(tls__ca__cert=helm['tls.crt'], tls__ca__key=helm['tls.key']))])
    assert not c.has('Secret', 'tycho-ca')
    assert c.get('Secret', 'tycho-server-certs')['data']['ca.crt'] == helm['tls.crt']


# --- values


def test_each_value_is_in_the_schema_and_none_that_is_not_there():
    with open(os.path.join(CHART, 'values.schema.json'), encoding='utf-8') as f:
        schema = json.load(f)

    def below(node, path):
        node = schema['definitions'][node['$ref'].split('/')[-1]] if '$ref' in node else node
        if node.get('additionalProperties') is False and 'properties' in node:
            for key, child in node['properties'].items():
                yield from below(child, path + [key])
        else:
            yield '.'.join(path)
    known = set(below(schema, [])) - {'global'}
    known -= {p for p in known if p.startswith(('imagePullSecrets', 'hubble.tls.auto.certManagerIssuerRef.', 'observer.seccompProfile.'))}
    assert known == {path for path, _, _ in leaves()} - {
        'imagePullSecrets', 'hubble.tls.auto.certManagerIssuerRef', 'observer.seccompProfile'}


def test_the_page_has_every_value_with_its_default_and_meaning():
    page = read('docs', 'install-kubernetes.md')
    rows = ['| `%s` | `%s` | %s |' % (path, value.replace('|', '\\|'), says) for path, value, says in leaves()]
    assert [line for line in page.splitlines() if re.match(r'\| `\w+(\.\w+)*` \| `.*` \|', line)] == rows
    assert all(says for _, _, says in leaves())


def test_versions_are_those_of_the_project():
    project = re.search(r'project\(tycho VERSION ([0-9.]+)', read('CMakeLists.txt')).group(1)
    chart = read('deploy', 'helm', 'tycho', 'Chart.yaml')
    assert re.findall(r'(?m)^(?:appVersion|version): (.*)$', chart) == [project, project]
