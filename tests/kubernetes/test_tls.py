"""An API server behind TLS: whom the observer believes, and how it shows who it is; in a pod, too."""
import base64
import contextlib
import os

import pytest

from agent import Monitor
from pki import Authority
from test_kubernetes import Api, Node, folder  # noqa: F401: a fixture

WEB = ('10.244.2.15', 'web-856ccf8c9f-knh9k')


@pytest.fixture(scope='module')
def pki(tmp_path_factory):
    ca = Authority(tmp_path_factory.mktemp('ca'), 'ca')
    ca.other = Authority(tmp_path_factory.mktemp('other'), 'other')
    ca.server = ca.issue('server')
    ca.wrong_name = ca.issue('elsewhere', san='DNS:api.example')
    ca.expired = ca.issue('expired', expired=True)
    ca.client = ca.issue('client', subject='/CN=tycho')
    ca.foreign = ca.other.issue('client', subject='/CN=tycho')
    return ca


@contextlib.contextmanager
def api(folder, pair, *options, token=None):  # noqa: F811
    with Api(folder, 'world', options=['--tls-cert', pair[0], '--tls-key', pair[1], *options], token=token) as a:
        yield a


def data(path):
    with open(path, 'rb') as f:
        return base64.b64encode(f.read()).decode()


@pytest.mark.parametrize('as_data', [False, True])
def test_client_certificate_and_authority_as_files_and_as_data(folder, pki, as_data):  # noqa: F811
    form = (lambda key, path: '%s-data: %s' % (key, data(path))) if as_data else (lambda key, path: '%s: %s' % (key, path))
    with api(folder, pki.server, '--client-ca', pki.cert, '--require-client-cert') as server, Monitor(folder) as monitor, \
            Node(server.config(cluster=', ' + form('certificate-authority', pki.cert),
                               user=form('client-certificate', pki.client[0]) + ', ' + form('client-key', pki.client[1])),
                 monitor) as ob:
        ob.wait_name(*WEB)


@pytest.mark.parametrize('pair, authority, says', [
    ('server', 'other', 'certificate'), ('wrong_name', 'own', 'subject name'), ('expired', 'own', 'expired')])
def test_a_server_that_is_not_believed_is_asked_nothing(folder, pki, pair, authority, says):  # noqa: F811
    ca = pki.cert if authority == 'own' else pki.other.cert
    with api(folder, getattr(pki, pair), token='secret') as server, Monitor(folder) as monitor, \
            Node(server.config(cluster=', certificate-authority: ' + ca, user='token: secret'), monitor) as ob:
        ob.wait(lambda: ob.number('stale_kinds') > 0, 'failures')
        assert 'SSL' in ob.log() and says in ob.log()
        assert 'GET' not in server.log()
        assert 'secret' not in ob.log()


def test_a_client_certificate_of_another_authority_is_no_way_in(folder, pki):  # noqa: F811
    with api(folder, pki.server, '--client-ca', pki.cert, '--require-client-cert') as server, Monitor(folder) as monitor, \
            Node(server.config(cluster=', certificate-authority: ' + pki.cert,
                               user='client-certificate: %s, client-key: %s' % pki.foreign), monitor) as ob:
        ob.wait(lambda: ob.number('stale_kinds') > 0, 'failures')
        assert ob.number('objects{kind="Pod"}') == 0


def test_a_server_is_not_checked_only_when_that_is_asked_for_and_told(folder, pki):  # noqa: F811
    with api(folder, pki.wrong_name) as server, Monitor(folder) as monitor, \
            Node(server.config(cluster=', insecure-skip-tls-verify: true'), monitor) as ob:
        ob.wait_name(*WEB)
        assert "the API server's certificate is not checked" in ob.log()


class Pod(Node):
    """An observer that finds what Kubernetes puts into a pod: @secrets below its own /run, in a mount namespace."""

    def __init__(self, port, run, monitor):
        super().__init__('', monitor)
        at = self.options.index('--kubeconfig')
        del self.options[at:at + 2]
        self.run = run
        self.env = {'KUBERNETES_SERVICE_HOST': '127.0.0.1', 'KUBERNETES_SERVICE_PORT': str(port)}

    def argv(self):
        return ['unshare', '-rm', 'sh', '-c', 'mount --bind "$0" /run && exec "$@"', self.run] + super().argv()


def test_in_a_pod_the_service_account_is_used_and_its_token_read_again(folder, pki, tmp_path):  # noqa: F811
    secrets = tmp_path / 'secrets/kubernetes.io/serviceaccount'
    secrets.mkdir(parents=True)
    with open(pki.cert) as f:
        (secrets / 'ca.crt').write_text(f.read())
    (secrets / 'token').write_text('first')
    with api(folder, pki.server, token='first') as server, Monitor(folder) as monitor, \
            Pod(server.port, str(tmp_path), monitor) as ob:
        ob.wait_name(*WEB)
        server.stop()
        server.token = 'second'
        server.start()
        ob.wait(lambda: 'status 401' in ob.log(), 'the old token refused')
        (secrets / 'new').write_text('second\n')
        os.replace(secrets / 'new', secrets / 'token')  # as the kubelet does it
        ob.wait(lambda: ob.number('stale_kinds') == 0, 'the new token taken')
        assert ob.name_of(WEB[0]).pod_name == WEB[1]
