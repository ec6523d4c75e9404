"""What the pages say is what the programs do."""

from typing import get_args

from personad.contract.errors import Code
from tests.make_wire_tables import PAGE, with_tables


def test_the_tables_of_the_wire_page_are_those_of_the_contract() -> None:
    page = PAGE.read_text()
    assert page == with_tables(page), "run `python -m tests.make_wire_tables`"


def test_the_wire_page_explains_every_code_of_a_failure() -> None:
    page = PAGE.read_text()
    assert all(f"| `{code}` |" in page for code in get_args(Code))
