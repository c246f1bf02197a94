"""The web server itself: who may connect, with what, for how long."""
import os
import shutil
import ssl

import pytest

from observer import Observer, flow
from pki import Authority
from ui import Page, Ui


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, 'ca')


def put(source, target):
    """As a certificate manager does: a new file renamed over the old one."""
    shutil.copy(source, target + '.new')
    os.rename(target + '.new', target)


class Identity:
    """The files that tycho-ui serves with, and who was seen to show them."""

    def __init__(self, authority):
        self.authority, self.cert, self.key = authority, authority.path('live.pem'), authority.path('live.key')
        self.tls = ssl.create_default_context(cafile=authority.cert)

    def become(self, name):
        cert, key = self.authority.issue(name, subject='/CN=' + name)
        put(key, self.key)
        put(cert, self.cert)

    def shown(self, ui):
        with ui.connect(self.tls) as s:
            return dict(part[0] for part in s.getpeercert()['subject'])['commonName']


@pytest.fixture
def identity(authority):
    return Identity(authority)


def test_a_new_certificate_is_shown_from_the_next_connection_on(identity):
    identity.become('first')
    with Observer(lines=[flow(0)]) as observer, \
            Ui(observer.tcp, '--tls-server-cert-file', identity.cert, '--tls-server-key-file', identity.key) as ui:
        assert identity.shown(ui) == 'first'
        with Page(ui, tls=identity.tls) as page:
            page.watch()
            page.update()
            identity.become('second')
            assert identity.shown(ui) == 'second'
            with Page(ui, tls=identity.tls) as other:
                assert other.next()['type'] == 'hello'
            page.of('status')  # the first connection goes on
        ui.wait_log('certificate read again')


def test_a_broken_certificate_leaves_the_old_one_in_place_until_it_is_mended(identity, authority):
    identity.become('first')
    with Ui('127.0.0.1:1', '--tls-server-cert-file', identity.cert, '--tls-server-key-file', identity.key) as ui:
        with open(identity.cert + '.new', 'w') as f:
            f.write('no certificate')
        os.rename(identity.cert + '.new', identity.cert)
        assert identity.shown(ui) == 'first'
        ui.wait_log('new certificate is broken, keeping the old one')
        assert 'no PEM certificate in it' in ui.log()
        os.remove(identity.key)
        assert identity.shown(ui) == 'first'
        authority.issue('other')  # of another key
        put(authority.path('other.pem'), identity.cert)
        assert identity.shown(ui) == 'first'
        identity.become('second')
        assert identity.shown(ui) == 'second'
