"""The page about configuration, made from the options themselves.

`python -m personad.contract.options_page > docs/configuration.md` writes it anew.
"""

import sys

from .options import KEYS, description, expectation, tables, type_of, variable_of
from .settings import PROJECT_FILE, PROJECT_KEYS, SYSTEM_FILE

_PROJECT = "\n".join(f"- `{key}*`" if key.endswith(".") else f"- `{key}`" for key in PROJECT_KEYS)
_TOP = f"""# Configuration

<!-- Made by `python -m personad.contract.options_page`; change `personad/contract/options.py`. -->

Nothing has to be configured. What is, is read from these places; later wins:

1. the defaults below
2. `{SYSTEM_FILE}`
3. `~/.config/personad/config.toml` (or `$XDG_CONFIG_HOME/personad/config.toml`)
4. `./{PROJECT_FILE}` in the folder where a command runs
5. environment variables
6. the options of a command

`persona config list --origin` shows every value and where it comes from, `persona config set KEY
VALUE` changes your own file, and `persona config check` looks for mistakes everywhere. A mistake
(an unknown key, a value out of range, broken TOML) ends any command with exit status 78 and names
file, line and key.

`./{PROJECT_FILE}` may come with somebody's data. Anything in it but these keys is a mistake,
because it could move the ledger or send alerts elsewhere (a `persona.yaml` is not read):

{_PROJECT}

Unless `runtime_dir` is set, a ledger outside `~/.local/share/personad` has its sockets in a folder
of its own, `personad-` and a digest of the ledger's path, so that two ledgers never share them.

A variable is called `PERSONA_<TABLE>_<KEY>`, as in `{variable_of("generate.retry.retries")}`, and
for `[daemon]` only `PERSONAD_<KEY>`, as in `{variable_of("daemon.data_dir")}`. Lists are written
with commas; an empty variable counts as not set. A misspelt one is a mistake, too.
`PERSONA_LEDGER`, `PERSONA_AUTOSTART` and `PERSONA_SIMULATED_…` are no settings.

Budgets, goals, prices and alert switches that a command sets are kept in the ledger; what stands in
a file is the default until then.
"""


def render() -> str:
    """The whole page, as Markdown."""
    return "\n".join([_TOP, *map(_section, filter(_keys, tables()))])


def _keys(table: str) -> list[str]:
    return [key for key in KEYS if key.rpartition(".")[0] == table]


def _section(table: str) -> str:
    rows = [_row(key) for key in _keys(table)]
    head = "| key | default | takes | meaning |\n| --- | --- | --- | --- |"
    return "\n".join([f"## `[{table}]`", "", head, *rows, ""])


def _row(key: str) -> str:
    annotation = type_of(key)
    cells = (
        f"`{key.rpartition('.')[2]}`",
        _default(KEYS[key]),
        expectation(annotation),
        description(annotation),
    )
    return f"| {' | '.join(cells)} |"


def _default(value: object) -> str:
    if value is None:
        return "unset"
    from .toml_text import literal

    return f"`{literal(value)}`"


if __name__ == "__main__":
    sys.stdout.write(render())
