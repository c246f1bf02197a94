"""A ClickHouse server as a process of its own, in a folder that goes with it; and a proxy before it that misbehaves."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request

from daemon import LONG_S, until

CONFIG = '''<yandex>
<logger><level>information</level><log>{folder}/log</log><errorlog>{folder}/err</errorlog></logger>
<http_port>{http}</http_port><tcp_port>{tcp}</tcp_port><listen_host>127.0.0.1</listen_host>
<path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path><users_config>users.xml</users_config>
<default_profile>default</default_profile><default_database>default</default_database>
<mark_cache_size>67108864</mark_cache_size>{tls}
</yandex>
'''
TLS = '''
<https_port>{https}</https_port>
<openSSL><server><certificateFile>{cert}</certificateFile><privateKeyFile>{key}</privateKeyFile><caConfig>{ca}</caConfig>
<verificationMode>{mode}</verificationMode><loadDefaultCAFile>false</loadDefaultCAFile></server></openSSL>'''
USERS = '''<yandex><profiles><default><max_memory_usage>2000000000</max_memory_usage></default>
<reader><readonly>1</readonly></reader></profiles>
<users>
<default><password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default>
<tycho><password>{password}</password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></tycho>
<reader><password></password><networks><ip>::/0</ip></networks><profile>reader</profile><quota>default</quota></reader>
</users><quotas><default/></quotas></yandex>
'''
PASSWORD = 'a "secret" & more'


def free_ports(n):
    """Ports that nobody has just now."""
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(('127.0.0.1', 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Failed(Exception):
    pass


class ClickHouse:
    """with ClickHouse() as ch: it answers while the block runs. kill() and start() in between keep what it holds.

    authority: who signs its certificate, for https too; mutual: callers must have one of that authority, too."""

    def __init__(self, authority=None, mutual=False):
        self.folder = tempfile.mkdtemp(prefix='tycho-clickhouse-')
        self.http, tcp, self.https = free_ports(3)
        tls = ''
        if authority:
            cert, key = authority.issue('clickhouse')
            tls = TLS.format(https=self.https, cert=cert, key=key, ca=authority.cert, mode='strict' if mutual else 'none')
        self.process, self.databases = None, []
        for name in ('data', 'tmp'):
            os.mkdir(os.path.join(self.folder, name))
        self._write('config.xml', CONFIG.format(folder=self.folder, http=self.http, tcp=tcp, tls=tls))
        self._write('users.xml', USERS.format(password=PASSWORD.replace('&', '&amp;')))

    def _write(self, name, text):
        with open(os.path.join(self.folder, name), 'w') as f:
            f.write(text)

    def __enter__(self):
        return self.start()

    def start(self):
        with open(os.path.join(self.folder, 'out'), 'ab') as out:
            self.process = subprocess.Popen(['clickhouse-server', '--config-file=' + os.path.join(self.folder, 'config.xml')],
                                            stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=self.folder)
        until(self._answers, fault=self.log)
        return self

    def _answers(self):
        assert self.process.poll() is None, self.log()
        try:
            return self.ask('SELECT 1') == '1'
        except OSError:
            return False

    def kill(self):
        """Ends it as a power failure would."""
        self.process.kill()
        self.process.wait(LONG_S)

    def __exit__(self, *exc):
        try:
            if self.process and self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                try:
                    self.process.wait(20)
                except subprocess.TimeoutExpired:
                    self.kill()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def log(self):
        with open(os.path.join(self.folder, 'out'), errors='replace') as f:
            return f.read()

    def raw(self, sql, **settings):
        """The answer's bytes."""
        url = 'http://127.0.0.1:%d/?%s' % (self.http, urllib.parse.urlencode(settings))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, data=sql.encode(), timeout=LONG_S) as answer:
                return answer.read()
        except urllib.error.HTTPError as e:
            raise Failed(e.read().decode(errors='replace')) from None

    def ask(self, sql, **settings):
        return self.raw(sql, **settings).decode().rstrip('\n')

    def database(self, name):
        return Database(self, name)


class Database:
    """One database of a server."""

    def __init__(self, server, name):
        self.server, self.name = server, name

    @property
    def url(self):
        return self.url_at(self.server.http)

    def url_at(self, port):
        return 'http://127.0.0.1:%d/%s' % (port, self.name)

    def raw(self, sql):
        return self.server.raw(sql, database=self.name)

    def ask(self, sql):
        return self.server.ask(sql, database=self.name)

    def number(self, sql):
        return int(self.ask(sql))

    def flows(self):
        """How many there are; 0 while there is no table."""
        try:
            return self.number("SELECT count() FROM tycho_flows WHERE kind = 'flow'")
        except (Failed, OSError):
            return 0


class Proxy:
    """with Proxy(server_port) as p: passes on what comes to p.port. cut_inserts: of so many INSERTs the whole request is passed on, and
    then, once the server has answered, the client's connection is cut before it sees a byte of that. hold_inserts: of so many large ones the
    connection is cut while the server still waits for the last byte, which it gets once it has refused somebody else for that. (A server begins
    to run an INSERT when it has a megabyte of it, or all.) refuse: connections are closed at once."""

    def __init__(self, server_port, cut_inserts=0, hold_inserts=0):
        self.server_port, self.cut_inserts, self.cuts = server_port, cut_inserts, 0
        self.hold_inserts, self.holds, self.refused = hold_inserts, 0, threading.Event()
        self.refuse = False
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self):
        self.threads[0].start()
        return self

    def __exit__(self, *exc):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for t in self.threads:
            t.join(LONG_S)

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            t = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self.threads.append(t)
            t.start()

    @staticmethod
    def _request(f):
        """A whole request: its bytes and its first line; None at the end."""
        line = f.readline()
        if not line:
            return None
        head, length = [line], 0
        while (h := f.readline()) not in (b'\r\n', b''):
            head.append(h)
            if h.lower().startswith(b'content-length:'):
                length = int(h.split(b':')[1])
        return b''.join(head) + b'\r\n' + f.read(length), line

    def _hold(self, request):
        self.refused.clear()
        with socket.create_connection(('127.0.0.1', self.server_port)) as server:
            server.sendall(request[:-1])
            self.refused.wait(LONG_S)
            server.sendall(request[-1:])
            assert server.recv(65536).startswith(b'HTTP/1.1 200')

    def _serve(self, client):
        """One request after the other, each with a connection of its own to the server."""
        with client, client.makefile('rb') as f:
            if self.refuse:
                return
            while request := self._request(f):
                bytes_, line = request
                if self.hold_inserts > self.holds and b'INSERT' in line and len(bytes_) > 2 << 20:
                    self.holds += 1
                    client.shutdown(socket.SHUT_RDWR)
                    self._hold(bytes_)
                    return
                try:
                    with socket.create_connection(('127.0.0.1', self.server_port)) as server:
                        server.sendall(bytes_.replace(b'\r\n\r\n', b'\r\nConnection: close\r\n\r\n', 1))
                        answer = b''
                        while piece := server.recv(65536):
                            answer += piece
                except OSError:
                    return
                if b'Code: 216' in answer:
                    self.refused.set()
                if self.cut_inserts > self.cuts and b'INSERT' in line:
                    self.cuts += 1
                    return
                try:
                    client.sendall(answer)
                except OSError:
                    return
                if b'\r\nConnection: close' in answer.split(b'\r\n\r\n')[0]:
                    return
