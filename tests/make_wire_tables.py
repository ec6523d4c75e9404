"""Writes the tables of docs/wire.md from the contract: `python -m tests.make_wire_tables`."""

from pathlib import Path
from typing import Any, get_args

import msgspec

from personad.contract.codec import reply_type
from personad.contract.schema import EVENTS, REQUESTS, tag

PAGE = Path(__file__).parent.parent / "docs" / "wire.md"


def with_tables(page: str) -> str:
    """The page with its tables as they have to be."""
    return _filled(_filled(page, "events", _events()), "requests", _requests())


def _filled(page: str, name: str, table: list[str]) -> str:
    begin, end = page.index(f"<!-- {name}:"), page.index(f"<!-- /{name} -->")
    head = page[begin : page.index("-->", begin) + len("-->")]
    return page[:begin] + "\n".join([head, "", *table, "", ""]) + page[end:]


def _events() -> list[str]:
    lines = ["| type | fields |", "| --- | --- |"]
    for kind in EVENTS:
        mark = " **d**" if kind.DAEMON_ONLY else ""
        lines.append(f"| `{tag(kind)}`{mark} | {_fields(kind, leave_out=3)} |")
    return lines


def _requests() -> list[str]:
    lines = ["| request | fields | answer |", "| --- | --- | --- |"]
    for kind in REQUESTS:
        answer = reply_type(kind)
        answers = ", ".join(f"`{tag(each)}`" for each in get_args(answer) or (answer,))
        lines.append(f"| `{tag(kind)}` | {_fields(kind)} | {answers} |")
    return lines


def _fields(kind: type[Any], leave_out: int = 0) -> str:
    fields = msgspec.structs.fields(kind)[leave_out:]
    return ", ".join(f"`{each.name}{'' if each.required else '?'}`" for each in fields) or "–"


def main() -> None:
    PAGE.write_text(with_tables(PAGE.read_text()))


if __name__ == "__main__":
    main()
