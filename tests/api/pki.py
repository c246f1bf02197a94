"""Certificates for tests, made with the openssl command."""
import os
import subprocess


def _openssl(*words):
    p = subprocess.run(['openssl', *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if p.returncode != 0:
        raise RuntimeError('openssl %s: %s' % (' '.join(words), p.stderr))


class Authority:
    """A CA in a folder. issue() writes NAME.pem and NAME.key beside it."""

    def __init__(self, folder, name):
        self.folder, self.name = str(folder), name
        self.cert, self.key = self.path(name + '.pem'), self.path(name + '.key')
        _openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', self.key,
                 '-out', self.cert, '-subj', '/CN=' + name, '-days', '30',
                 '-addext', 'keyUsage=critical,keyCertSign,cRLSign')

    def path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, name, san='DNS:localhost,IP:127.0.0.1', expired=False, subject='/CN=test'):
        cert, key, request = self.path(name + '.pem'), self.path(name + '.key'), self.path(name + '.csr')
        extensions = self.path(name + '.ext')
        with open(extensions, 'w') as f:
            # both key identifiers: Python 3.13 verifies by RFC 5280 to the letter
            f.write('subjectAltName=%s\nbasicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\n'
                    'authorityKeyIdentifier=keyid\n' % san)
        _openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key,
                 '-out', request, '-subj', subject)
        # "openssl ca" is the one that takes both dates in every version; it wants a small data base
        index, serial, config = self.path(name + '.index'), self.path(name + '.serial'), self.path(name + '.cnf')
        open(index, 'w').close()
        with open(serial, 'w') as f:
            f.write('%016x\n' % int.from_bytes(os.urandom(7), 'big'))
        with open(config, 'w') as f:
            f.write('[ca]\ndefault_ca=d\n[d]\ndatabase=%s\nserial=%s\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=p\n'
                    'unique_subject=no\n[p]\ncommonName=supplied\n' % (index, serial, self.folder))
        end = '20200101000000Z' if expired else '20991231235959Z'
        _openssl('ca', '-batch', '-config', config, '-cert', self.cert, '-keyfile', self.key, '-in', request, '-out', cert,
                 '-startdate', '20190101000000Z', '-enddate', end, '-extfile', extensions, '-notext')
        return cert, key
