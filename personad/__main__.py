"""`python -m personad`."""

import sys

from personad.cli import main

sys.exit(main())
