"""What the pages say is what the programs do."""

from pathlib import Path
from typing import get_args

import pytest
from persona.generation.providers.keys import KEYS
from persona.generation.providers.models import known_models

from personad.contract.errors import Code
from tests.make_wire_tables import PAGE, with_tables


def test_the_tables_of_the_wire_page_are_those_of_the_contract() -> None:
    page = PAGE.read_text()
    assert page == with_tables(page), "run `python -m tests.make_wire_tables`"


def test_the_wire_page_explains_every_code_of_a_failure() -> None:
    page = PAGE.read_text()
    assert all(f"| `{code}` |" in page for code in get_args(Code))


@pytest.mark.parametrize("name", ["anthropic", "openai", "gemini", "ollama"])
def test_the_page_about_generating_names_each_providers_keys_and_usual_model(name: str) -> None:
    page = (Path(__file__).parents[1] / "docs" / "generate.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
    assert f"`{known_models(name)[0]}`" in row
    assert all(f"`{key}`" in row for key in KEYS.get(name, ()))
