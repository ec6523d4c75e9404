"""A real daemon of another release, in the foreground.

python tests/foreign_daemon.py PROTOCOL VERSION
"""

import sys

from personad.contract import base

if __name__ == "__main__":
    # Before anything else of personad is loaded: the others take both from here.
    base.PROTOCOL, base.VERSION = int(sys.argv[1]), sys.argv[2]
    from personad.cli import main

    sys.argv[1:] = ["start", "--foreground"]
    sys.exit(main())
