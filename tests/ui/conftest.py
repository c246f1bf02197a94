"""Observers, relays, impostors and certificates are those of the suites beside this one."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
for room in ('api', 'relay'):
    sys.path.insert(0, os.path.join(os.path.dirname(HERE), room))
