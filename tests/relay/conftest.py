"""What the tests of the observer's calls have made (a replaying observer, an independent gRPC client) serves here, too."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'api'))
