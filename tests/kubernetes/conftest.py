import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
for room in ('api', 'relay', 'upstream'):
    sys.path.insert(0, os.path.join(os.path.dirname(HERE), room))
