"""usage: sandbox.py UNIT SHOWN=FOLDER… -- PROGRAM [ARGUMENT…]

Runs a program with what a unit of systemd withholds withheld: file systems, devices, capabilities, system calls, kinds of sockets. No
systemd is asked but for the names in its groups of system calls. State, logs and runtime folders are empty ones, and go with it. SHOWN is where a
folder can be read in there, below /mnt. Settings that this does not know are a fault: what they withhold would not be tested.
"""
import ctypes
import os
import re
import socket
import subprocess
import sys

import seccomp

# What says nothing of what the program may do, or is the same for every process here.
SAYS_NOTHING = {'Type', 'ExecStart', 'ExecReload', 'EnvironmentFile', 'Restart', 'RestartSec', 'LogsDirectoryMode', 'SystemCallArchitectures', 'LimitNOFILE',
                'LimitMEMLOCK', 'TasksMax', 'MemoryMax', 'ProtectHostname', 'ProtectProc', 'RestrictSUIDSGID', 'ProtectKernelModules',
                'ProtectClock', 'ProtectKernelLogs', 'ProtectControlGroups', 'NoNewPrivileges', 'AmbientCapabilities'}
FOLDERS = {'StateDirectory': '/var/lib', 'LogsDirectory': '/var/log', 'RuntimeDirectory': '/run'}
DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty']
NOBODY = '61999'  # of those that systemd takes for DynamicUser
EPERM, EAFNOSUPPORT = 1, 97
libc = ctypes.CDLL(None, use_errno=True)


def settings(unit):
    """{name: value} of its section Service, each of which is taken out when it is heeded."""
    with open(unit, encoding='utf-8') as f:
        section = f.read().split('[Service]')[1].split('[Install]')[0]
    return {k: v for k, v in re.findall(r'^(\w+)=(.*)$', section, re.M) if k not in SAYS_NOTHING}


def sh(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def tmpfs(path, mode='0755'):
    sh('mount', '-t', 'tmpfs', '-o', 'mode=' + mode, 'tmpfs', path)


def show(pairs):
    tmpfs('/mnt')
    for pair in pairs:
        shown, folder = pair.split('=', 1)
        os.mkdir(shown)
        sh('mount', '--bind', folder, shown)


def hide_files(has):
    folders = [os.path.join(base, has.pop(name)) for name, base in FOLDERS.items() if name in has]
    for path in folders:
        os.makedirs(path, exist_ok=True)
    if has.pop('ProtectSystem', None) == 'strict':
        with open('/proc/self/mountinfo') as f:
            for point in [line.split()[4] for line in f]:
                if not re.match(r'/(proc|sys|dev)(/|$)', point):
                    subprocess.run(['mount', '-o', 'remount,bind,ro', point], stderr=subprocess.DEVNULL)
    if has.pop('ProtectKernelTunables', None) == 'yes':
        sh('mount', '--bind', '/proc/sys', '/proc/sys')
        sh('mount', '-o', 'remount,bind,ro', '/proc/sys')
    if has.pop('PrivateTmp', None) == 'yes':
        tmpfs('/tmp', '1777')
        tmpfs('/var/tmp', '1777')
    if has.pop('PrivateDevices', None) == 'yes':
        os.mkdir('/tmp/dev')
        for name in DEVICES:
            open('/tmp/dev/' + name, 'w').close()
            sh('mount', '--bind', '/dev/' + name, '/tmp/dev/' + name)
        os.symlink('/proc/self/fd', '/tmp/dev/fd')
        sh('mount', '--rbind', '/tmp/dev', '/dev')
    if has.pop('ProtectHome', None) == 'yes':
        for path in ('/home', '/root'):
            tmpfs(path, '0000')
    for path in folders:
        tmpfs(path)


def system_calls(word):
    if not word.startswith('@'):
        return {word}
    said = subprocess.run(['systemd-analyze', 'syscall-filter', word], stdout=subprocess.PIPE, text=True, check=True).stdout
    names = re.findall(r'^ +(@?\w+(?:-\w+)*)$', said, re.M)
    assert names, word
    return set().union(*map(system_calls, names))


def forbid(has):
    """The filters, which are to be loaded last."""
    allowed = set().union(*map(system_calls, ['@default', *has.pop('SystemCallFilter').split()]))
    known = seccomp.SyscallFilter(seccomp.KILL_PROCESS)
    for name in allowed | {'execve', 'capset', 'prctl'}:  # the last two for setpriv, which then is the program
        if seccomp.resolve_syscall(seccomp.Arch(), name) >= 0:
            known.add_rule(seccomp.ALLOW, name)
    more = seccomp.SyscallFilter(seccomp.ALLOW)

    def no(name, *arguments, error=EPERM):
        more.add_rule(seccomp.ERRNO(error), name, *arguments)
    families = {getattr(socket, name) for name in has.pop('RestrictAddressFamilies').split()}
    for family in set(range(socket.AF_MAX if hasattr(socket, 'AF_MAX') else 46)) - families:
        no('socket', seccomp.Arg(0, seccomp.EQ, family), error=EAFNOSUPPORT)
    if has.pop('MemoryDenyWriteExecute', None) == 'yes':
        no('mmap', seccomp.Arg(2, seccomp.MASKED_EQ, 6, 6))
        no('mprotect', seccomp.Arg(2, seccomp.MASKED_EQ, 4, 4))
    if has.pop('RestrictNamespaces', None) == 'yes':
        for name in ('unshare', 'setns'):
            no(name)
    if has.pop('RestrictRealtime', None) == 'yes':
        for policy in (1, 2, 6):  # FIFO, RR, DEADLINE
            no('sched_setscheduler', seccomp.Arg(1, seccomp.EQ, policy))
    if has.pop('LockPersonality', None) == 'yes':
        no('personality')
    return more, known


def main():
    unit, rest = sys.argv[1], sys.argv[2:]
    has = settings(unit)
    end = rest.index('--')
    assert libc.unshare(0x00020000) == 0, 'a mount namespace'  # CLONE_NEWNS
    sh('mount', '--make-rprivate', '/')
    show(rest[:end])
    filters = forbid(has)
    hide_files(has)
    os.umask(int(has.pop('UMask'), 8))
    capabilities = has.pop('CapabilityBoundingSet').split()
    who = ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups'] if has.pop('DynamicUser', None) == 'yes' else []
    assert not has, 'not known here: %s' % ', '.join(has)
    os.chdir('/')
    for f in filters:
        f.load()
    os.execvp('setpriv', ['setpriv', '--bounding-set', ','.join(['-all'] + ['+' + c[len('CAP_'):].lower() for c in capabilities]), '--no-new-privs',
                          *who, *rest[end + 1:]])


main()
