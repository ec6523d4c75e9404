"""What the pages say is what the programs do."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from persona.generation.providers.keys import KEYS
from persona.generation.providers.models import known_models

from personad import launch
from personad.contract.admin import Hello
from personad.contract.errors import Code
from personad.contract.events import Read
from personad.contract.paths import Paths, resolve_paths
from personad.contract.quality import GoalSet
from personad.contract.settings import load
from tests.make_wire_tables import PAGE, with_tables

PYTHON_LINES = 15
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_tables_of_the_wire_page_are_those_of_the_contract() -> None:
    page = PAGE.read_text()
    assert page == with_tables(page), "run `python -m tests.make_wire_tables`"


def test_the_wire_page_explains_every_code_of_a_failure() -> None:
    page = PAGE.read_text()
    assert all(f"| `{code}` |" in page for code in get_args(Code))


def blocks(language: str) -> list[str]:
    """What the wire's page shows in a language, as it stands there."""
    return [text for name, text in _BLOCK.findall(PAGE.read_text()) if name == language]


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch) -> Iterator[Paths]:
    """The usual ledger of somebody who has configured nothing, with a daemon."""
    # Sockets are there by themselves where HOME is the account's, which no test touches.
    monkeypatch.setenv("PERSONAD_RUNTIME_DIR", f"{os.environ['XDG_RUNTIME_DIR']}/personad")
    program = [sys.executable, "-m", "personad"]
    subprocess.run([*program, "start"], check=True, capture_output=True, timeout=60)
    settings = load(environ=os.environ, cwd=None, home=os.environ["HOME"]).settings
    paths = resolve_paths(settings, ledger=None, environ=os.environ)
    yield paths
    launch.stop(paths, 30)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The shell's lines of the page, by what they do; with a stand-in where nngcat is missing."""
    if shutil.which("nngcat") is None:
        program = tmp_path / "bin" / "nngcat"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.nngcat "$@"\n')
        program.chmod(0o700)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    found = {
        name: text for text in blocks("sh") for name in ("status", "append", "all/") if name in text
    }
    assert len(found) == len(blocks("sh"))
    return found


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_s_shell_lines_ask_and_append(usual: Paths, shell: dict[str, str]) -> None:
    for expected in (1, 2):
        appended = json.loads(run("sh", "-c", shell["append"]))
        assert (appended["type"], appended["last_seq"]) == ("appended", expected)
    status = json.loads(run("sh", "-c", shell["status"]))
    assert (status["type"], status["last_seq"]) == ("status", 2)
    assert status["api_socket"] == str(usual.api_socket)
    kept = [each.event for each in launch.ask(usual, Read()).events]
    assert [type(event) for event in kept] == [GoalSet, GoalSet]


def test_the_page_s_shell_lines_watch(usual: Paths, shell: dict[str, str]) -> None:
    watch = subprocess.Popen(["sh", "-c", f"exec {shell['all/']}"], stdout=subprocess.PIPE)
    try:
        # It may not have subscribed yet when a commit is published: it hears one of the next.
        while watch.poll() is None:
            run("sh", "-c", shell["append"])
        topic, _, body = watch.communicate(timeout=60)[0].partition(b"{")
    finally:
        watch.kill()
        watch.wait()
    assert watch.returncode == 0
    assert topic == b"all/"
    frame: dict[str, Any] = json.loads(b"{" + body)
    assert (frame["type"], frame["events"][0]["event"]["type"]) == ("events-recorded", "goal.set")


def test_fifteen_lines_of_python_without_our_client_append_and_ask(usual: Paths) -> None:
    (code,) = blocks("python")
    assert len([line for line in code.splitlines() if line]) <= PYTHON_LINES
    assert "persona" not in code.replace("/personad/api.sock", "")
    appended, read = map(json.loads, run(sys.executable, "-c", code).splitlines())
    assert (appended["type"], appended["last_seq"], appended["duplicates"]) == ("appended", 1, 1)
    (recorded,) = read["events"]
    assert recorded["event"]["call"] == "my-call-1"
    assert launch.ask(usual, Hello()).last_seq == 1


def test_where_nobody_answers_they_end_and_don_t_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (code,) = blocks("python")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30)
    assert ended.returncode == 1
    assert b"ConnectionRefused" in ended.stderr


def test_the_failure_that_the_page_shows_is_the_one_that_is_answered(usual: Paths) -> None:
    (python,) = blocks("python")
    (shown,) = blocks("json")
    good = '"append", "events": [event, event]'
    assert good in python
    bad = python.replace(good, '"append", "events": [*[event] * 3, event | {"cost_nanousd": -1}]')
    answered, read = map(json.loads, run(sys.executable, "-c", bad).splitlines())
    assert answered == json.loads(shown)
    assert read["events"] == []


@pytest.mark.parametrize("name", ["anthropic", "openai", "gemini", "ollama"])
def test_the_page_about_generating_names_each_providers_keys_and_usual_model(name: str) -> None:
    page = (Path(__file__).parents[1] / "docs" / "generate.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
    assert f"`{known_models(name)[0]}`" in row
    assert all(f"`{key}`" in row for key in KEYS.get(name, ()))
