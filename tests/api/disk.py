"""A disk that can be filled."""
import contextlib
import os
import subprocess


@contextlib.contextmanager
def tmpfs(path, size):
    """A file system of its own at @path; needs root."""
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=' + size, 'tmpfs', path], check=True)
    try:
        yield path
    finally:
        subprocess.run(['umount', path], check=True)


def fill(path):
    """Writes a file that takes all that is left."""
    with open(os.path.join(path, 'ballast'), 'wb', buffering=0) as f, contextlib.suppress(OSError):
        while f.write(bytes(4096)):
            pass
