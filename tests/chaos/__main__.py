"""Everything that kills for long, one after the other: `make chaos`."""

import subprocess
import sys

STORMS = (
    "daemon_kills",
    "runner_kills",
    "paid_kills",
    "paid_crowd",
    "disk_faults",
    "backup_kills",
    "retention_kills",
    "work_kills",
    "cardinality",
    "messages",
    "soak",
    "spools",
    "interchange",
)


def main() -> int:
    if sys.argv[1:]:
        sys.exit(
            f"it takes no words, and over an hour; one alone: python -m tests.chaos.{STORMS[0]}"
        )
    ended = [subprocess.call([sys.executable, "-m", f"tests.chaos.{name}"]) for name in STORMS]
    return max(ended)


if __name__ == "__main__":
    sys.exit(main())
