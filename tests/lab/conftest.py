"""One lab for all tests of a run; one observer per test module on each node that asks for it."""
import os

import pytest

import lab as lab_module

_ports = iter(range(20000, 30000))


@pytest.fixture(scope='session')
def lab():
    if os.geteuid() != 0:
        pytest.fail('the lab needs root: network namespaces and BPF (run sudo make test)')
    with lab_module.Lab() as built:
        yield built


@pytest.fixture(scope='module')
def node1(lab):
    """An observer on node1 with a short report interval, so that what is left over is told within a second."""
    ob = lab.observer(lab.node1, '--interval', '500ms', '--nflog-group', '5').start()
    yield ob
    assert ob.stop() == 0


@pytest.fixture(scope='module')
def node2(lab):
    ob = lab.observer(lab.node2, '--interval', '500ms', '--nflog-group', '5').start()
    yield ob
    assert ob.stop() == 0


@pytest.fixture(scope='session')
def resolver(lab):
    """The name server of the lab, for every test that asks names."""
    lab.dns.serve(lab_module.dns_server, lab.dns.ip4, 53, {
        'web.shop.example': lab.web.ip4, 'far.example': '203.0.113.77', 'shop.example': '192.0.2.7'})


@pytest.fixture
def port():
    """A server port that no other test uses: the flows of a test are those with its port."""
    return next(_ports)


@pytest.fixture(autouse=True)
def no_rules_left(request):
    yield
    if 'lab' in request.fixturenames:
        built = request.getfixturevalue('lab')
        for node in built.nodes:
            built.nft(node, '')
