"""The web server itself: who may connect, with what, for how long."""
import contextlib
import json
import os
import resource
import selectors
import shutil
import ssl

import pytest

import wire
from observer import Observer, flow
from pki import Authority
from ui import TEXT, Page, Refused, Ui, read_answer, side_by_side

with open(os.path.join(wire.ROOT, 'ui-server', 'wire.schema.json'), encoding='utf-8') as _f:
    SCHEMA = json.load(_f)
LIMITS = {k: v['value'] for k, v in SCHEMA['x-limits'].items()}
CLOSE_CODES = {v['name']: int(code) for code, v in SCHEMA['x-close'].items()}
# `openssl passwd -6 -salt tycho0 secret`
HASH = ('$6$tycho0$1WVN3/Kcvbx4cxZGxvF2mCFYl0rENlLATomBumUwOQBxgJUT5QSHrvplKxiytIj8d3LcX6epUSrvWNT6mk45J0')


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


# --- who may connect -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize('headers, status', [
    ({'Origin': None}, 403), ({'Origin': 'null'}, 403), ({'Origin': 'http://evil.example'}, 403),
    ({'Host': 'evil.example', 'Origin': 'http://evil.example'}, 403), ({'Host': None}, 403)])
def test_a_websocket_is_for_pages_of_our_own(headers, status):
    with Ui('127.0.0.1:1') as ui:
        with pytest.raises(Refused) as refused:
            Page(ui, **headers)
        assert refused.value.status == status


def test_what_is_not_there_cannot_be_upgraded():
    with Ui('127.0.0.1:1') as ui:
        for path in ('/', '/live/', '/live2', '/login'):
            with pytest.raises(Refused) as refused:
                Page(ui, path=path)
            assert refused.value.status == 404, path


def test_no_path_leads_out_of_the_page():
    with Ui('127.0.0.1:1') as ui:
        for path in ('/../etc/passwd', '/%2e%2e/%2e%2e/etc/passwd', '//etc/passwd', '/page.js%00.html', '/' + 'a' * 3000):
            status, _, body = ui.ask(path)
            assert status not in (101, 200) and b'root:' not in body, path


def test_a_session_ends_the_websockets_that_it_began(tmp_path):
    users = tmp_path / 'users'
    users.write_text('alice:%s\n' % HASH)
    with Ui('127.0.0.1:1', '--login-file', str(users)) as ui:
        with pytest.raises(Refused) as refused:
            Page(ui)
        assert refused.value.status == 403
        status, headers, _ = ui.ask('/login', 'POST', b'name=alice&password=secret', Origin=ui.url)
        assert status == 303
        cookie = headers['set-cookie'].split(';')[0]
        with Page(ui, Cookie=cookie) as page:
            assert page.next()['login'] is True
            page.watch()
            page.update()
            status, headers, _ = ui.ask('/logout', 'POST', Origin=ui.url, Cookie=cookie, Content_Length='0')
            assert status == 303 and headers['location'] == '/login'
            assert headers['set-cookie'].startswith(cookie.split('=')[0] + '=;') and '; Max-Age=0' in headers['set-cookie']  # a browser forgets it
            assert page.until_closed() == CLOSE_CODES['session']


def test_passwords_are_tried_so_often_and_no_more(tmp_path):
    users = tmp_path / 'users'
    users.write_text('alice:%s\n' % HASH)
    with Ui('127.0.0.1:1', '--login-file', str(users)) as ui:
        answers = [ui.ask('/login', 'POST', b'name=alice&password=wrong%d' % i, Origin=ui.url)[0] for i in range(40)]
        assert set(answers) == {403, 429}


def test_a_password_that_takes_for_ever_keeps_nobody_else_waiting(tmp_path):
    users = tmp_path / 'users'  # 2^31 rounds of bcrypt: days
    users.write_text('alice:%s\nendless:$2b$31$abcdefghijklmnopqrstuu%s\n' % (HASH, '0123456789' * 3 + '0'))
    guess = b'name=endless&password=x'
    with Ui('127.0.0.1:1', '--login-file', str(users)) as ui, contextlib.ExitStack() as stack:
        post = ('POST /login HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nContent-Length: %d\r\n\r\n'
                % (ui.host, ui.url, len(guess))).encode() + guess
        assert ui.ask('/login', 'POST', b'name=alice&password=secret', Origin=ui.url)[0] == 303
        waiting = []
        for _ in range(8):
            waiting.append(stack.enter_context(ui.connect()))
            waiting[-1].sendall(post)
        status, _, body = ui.ask('/login', 'POST', guess, Origin=ui.url)
        assert (status, b'Too many passwords are being checked.' in body) == (503, True)
        assert ui.ask('/login')[0] == 200
        status, headers, _ = ui.ask('/login', 'POST', b'name=alice&password=secret', Origin=ui.url)
        assert status == 303
        assert ui.ask('/', Cookie=headers['set-cookie'].split(';')[0])[0] == 200
        for s in waiting:
            s.setblocking(False)
            with pytest.raises(BlockingIOError):
                s.recv(1)


def test_who_leaves_while_a_password_is_checked_is_no_loss(tmp_path):
    users = tmp_path / 'users'
    users.write_text('alice:%s\n' % HASH)
    form = b'name=alice&password=wrong'
    with Ui('127.0.0.1:1', '--login-file', str(users)) as ui:
        for _ in range(5):
            with ui.connect() as s:
                s.sendall(('POST /login HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nContent-Length: %d\r\n\r\n'
                           % (ui.host, ui.url, len(form))).encode() + form)
        assert ui.ask('/login', 'POST', b'name=alice&password=secret', Origin=ui.url)[0] == 303


# --- limits --------------------------------------------------------------------------------------------------------

def test_pages_are_as_many_as_the_document_says():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with Ui('127.0.0.1:1') as ui, contextlib.ExitStack() as stack:
        pages = [stack.enter_context(Page(ui)) for _ in range(LIMITS['pages'])]
        with pytest.raises(Refused) as refused:
            Page(ui)
        assert refused.value.status == 503
        pages[0].watch()
        pages[0].update()
        assert ui.ask('/')[0] == 200


def test_a_page_that_asks_without_end_is_not_followed():
    with Ui('127.0.0.1:1') as ui, Page(ui) as page:
        for i in range(5 * LIMITS['asks']):  # however slow this machine is
            page.send_frame(TEXT, b'{"type":"watch","watch":%d}' % (i + 1))
        assert 'too many questions' in page.of('refused')['reason']


def closed(s):
    """Waits until the server has closed; what it said before."""
    return read_answer(s)[0]


@side_by_side
def test_who_sends_a_request_bit_by_bit_is_cut():
    beginnings = (b'', b'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ')
    with Ui('127.0.0.1:1') as ui, selectors.DefaultSelector() as waiting, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(ui.connect()) for _ in beginnings]
        for s, beginning in zip(slow, beginnings):
            s.sendall(beginning)
            waiting.register(s, selectors.EVENT_READ)
        while waiting.get_map():  # a byte now and then is no request either
            for key, _ in waiting.select(0.5):
                closed(key.fileobj)
                waiting.unregister(key.fileobj)
            for key in waiting.get_map().values():
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    key.fileobj.sendall(b'x' if key.fileobj is not slow[0] else b'')
        assert ui.ask('/')[0] == 200


@side_by_side
def test_a_crowd_that_says_nothing_keeps_nobody_out_for_long():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with Observer(lines=[flow(0)]) as observer, Ui(observer.tcp) as ui, Page(ui) as page, contextlib.ExitStack() as stack:
        page.watch()
        page.update(lambda m: m['rows'])
        for _ in range(LIMITS['connections']):
            stack.enter_context(ui.connect())
        page.of('status')  # who was there is served
        assert ui.ask('/')[0] == 200  # and so is who comes now, when the crowd is cut
