"""The server as a process of its own, for benchmarks and for looking at it.

    python -m tests.provider_server [--delay-s 0.2] [--gap-s 0.05] [--pieces 20]

Its port is the first line on stdout; `GET /_paid` says what it was paid. It ends with its stdin.
"""

import argparse
import sys

from . import ProviderServer, Turn


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--delay-s", type=float, default=0.0)
    options.add_argument("--gap-s", type=float, default=0.0)
    options.add_argument("--pieces", type=int, default=20)
    given = options.parse_args()
    turn = Turn(delay_s=given.delay_s, gap_s=given.gap_s, pieces=given.pieces)
    with ProviderServer(lambda asked: turn) as server:
        print(server.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
