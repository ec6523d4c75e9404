"""Writes the golden files of this release: `python -m tests.make_golden`.

They are made once a release and never again: a file that is there stays as it is, for what it holds
is what daemons of that release have on their disks.
"""

import json
from pathlib import Path

from personad.contract.base import VERSION
from personad.contract.codec import encode
from personad.kinds import body_of
from tests.personad.facts import SPECIMENS

WORDS = "words.json"
"""The texts that bodies on disk have numbers for, from 1."""
GOLDEN = Path(__file__).parent / "golden"


def main() -> None:
    folder = GOLDEN / VERSION.rpartition(".")[0]
    folder.mkdir(parents=True, exist_ok=True)
    words: list[str] = []

    def number(text: str) -> int:
        if text not in words:
            words.append(text)
        return words.index(text) + 1

    for name, event in SPECIMENS.items():
        for suffix, body in {
            ".json": encode(event, "json") + b"\n",
            ".msgpack": encode(event),
            ".disk": body_of(event, number),
        }.items():
            path = folder / f"{name}{suffix}"
            if not path.exists():
                path.write_bytes(body)
    if not (folder / WORDS).exists():
        (folder / WORDS).write_text(json.dumps(words, indent=1) + "\n")


if __name__ == "__main__":
    main()
