"""`python -m persona`."""

import sys

from persona.cli import main

if __name__ == "__main__":
    sys.exit(main())
