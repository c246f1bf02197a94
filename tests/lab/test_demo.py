"""The demo shows what it says that it shows: what is forwarded, and three kinds of what is not."""
import importlib.machinery
import importlib.util
import os
import subprocess

import lab as L
import pytest

HERE = os.path.dirname(os.path.abspath(__file__))


def load_demo():
    loader = importlib.machinery.SourceFileLoader('demo', os.path.join(HERE, 'demo'))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader('demo', loader))
    loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def cluster():
    if os.geteuid() != 0:
        pytest.fail('the lab needs root: network namespaces and BPF (run sudo make test)')
    with L.Cluster(os.environ.get('TYCHO_LAB_PREFIX', 'tl-') + 'd-') as built:
        yield built


def test_each_turn_of_the_demo_does_what_it_is_there_for(cluster):
    demo = load_demo()
    demo.servers(cluster)
    demo.policies(cluster)
    node1, node2, node3 = [cluster.observer(node, '--nflog-group', '5').start() for node in cluster.nodes]
    for turn in demo.turns(cluster):
        turn()

    denied = node1.wait_for(len, '--verdict', 'DROPPED', '--port', '9187', '--type', 'policy-verdict')[0]
    assert (denied['source']['pod_name'], denied['destination']['pod_name']) == ('cart-0', 'db-0')
    assert denied['ingress_denied_by'][0]['name'] == 'db-no-admin'
    nowhere = node2.wait_for(len, '--verdict', 'DROPPED', '--to-ip', '203.0.113.9')[0]
    assert (nowhere['source']['pod_name'], nowhere['l4']['UDP']['destination_port']) == ('web-0', 514)
    answers = node2.wait_for(lambda fs: any('Non-Existent Domain' in f['Summary'] for f in fs), '--protocol', 'dns')
    assert any('nowhere.example.' in f['Summary'] for f in answers)
    assert node1.wait_for(len, '--verdict', 'FORWARDED', '--from-pod', 'shop/cart', '--to-pod', 'shop/db', '--port', '5432')
    assert node3.wait_for(len, '--verdict', 'FORWARDED', '--from-pod', 'shop/cart', '--to-pod', 'shop/api', '--port', '8443')
    for observer in (node1, node2, node3):
        assert observer.stop() == 0


def test_a_demo_of_another_prefix_is_one_of_its_own_and_leaves_nothing_behind():
    name = os.environ.get('TYCHO_LAB_PREFIX', 'tl-') + 'd2'
    folder = '/run/tycho-demo.' + name

    def demo(command):
        return subprocess.run([os.path.join(HERE, 'demo'), command], env=dict(os.environ, TYCHO_LAB_PREFIX=name + '-'), check=True,
                              stdout=subprocess.PIPE, text=True).stdout

    def namespaces():
        return [line.split()[0] for line in L.sh('ip', 'netns', 'list').splitlines() if line.startswith('demo.%s-' % name)]

    said = demo('start')
    try:
        assert 'unix://%s/relay.sock' % folder in said
        assert 'demo.%s-node1' % name in namespaces()
        assert os.path.exists(os.path.join(folder, 'node3.sock'))
    finally:
        assert demo('stop') == 'stopped\n'
    assert namespaces() == []
    assert not os.path.exists(folder)
