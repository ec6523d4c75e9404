"""Options that questions have in common: the time they are about, and what they leave out."""

import re
from collections.abc import Callable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

import click

from persona.app import app_of
from persona.day import day
from persona.filled import filled
from personad.contract.asking import Filter, Range

if TYPE_CHECKING:
    from datetime import date

T = TypeVar("T")

ALL = "all"
"""As a filter's value: it leaves nothing out."""

_CLOCK = re.compile(r"(?:^|[T ])\d\d:(\d\d)(:\d\d(?:[.,]\d+)?)?", re.ASCII)

_RANGE = (
    click.option(
        "--days",
        type=click.IntRange(1, 36_525),
        metavar="N",
        help="The last N days; 30 if not said.",
    ),
    click.option("--month", type=filled, metavar="MONTH", help="2026-10, `this` or `last`."),
    click.option(
        "--since", type=filled, metavar="WHEN", help="A date, a time, or such as 7d or 12h."
    ),
    click.option(
        "--until", type=filled, metavar="WHEN", help="Likewise; a date is included whole."
    ),
    click.option(
        "--timezone",
        type=filled,
        metavar="NAME",
        help="Whose days they are; the ledger's if not said.",
    ),
    click.option("--as-of", type=day, metavar="DATE", help="Nothing from after it."),
)
_FILTER = tuple(
    click.option(
        f"--{name}",
        f"{name}s_" if name != "batch" else "batches_",
        multiple=True,
        type=filled,
        metavar="NAME",
        help=help_,
    )
    for name, help_ in (
        ("provider", "Only this provider; repeatable."),
        ("model", "Only this model; repeatable."),
        ("experiment", "Only this experiment; repeatable."),
        ("batch", "Only this batch; repeatable."),
    )
)


def range_options(function: Callable[..., T]) -> Callable[..., T]:
    """The range, handed over as `span: Range`."""

    def wrapper(
        *args: Any,
        days: int | None,
        month: str | None,
        since: str | None,
        until: str | None,
        timezone: str | None,
        as_of: "date | None",
        **kwargs: Any,
    ) -> T:
        given = [name for name, value in (("--days", days), ("--month", month)) if value]
        if (since or until) is not None:
            given.append("--since")
        if len(given) > 1:
            raise click.UsageError(f"{' and '.join(given)} exclude each other")
        if any(_is_within_a_quarter(when) for when in (since, until)):
            app_of(click.get_current_context()).note(
                "sums are kept by quarter-hours: those that these times lie in count whole"
            )
        span = Range(
            days=days, month=month, since=since, until=until, timezone=timezone, as_of=as_of
        )
        return function(*args, span=span, **kwargs)

    return _with(function, wrapper, _RANGE)


def _is_within_a_quarter(when: str | None) -> bool:
    """Whether it is a time on the clock between two quarter-hours."""
    found = _CLOCK.search(when or "")
    return found is not None and (int(found[1]) % 15 > 0 or bool((found[2] or "").strip(":0.,")))


def filter_options(function: Callable[..., T]) -> Callable[..., T]:
    """The filters, handed over as `only: Filter`."""

    def wrapper(
        *args: Any,
        providers_: tuple[str, ...],
        models_: tuple[str, ...],
        experiments_: tuple[str, ...],
        batches_: tuple[str, ...],
        **kwargs: Any,
    ) -> T:
        only = Filter(
            providers=_named(providers_),
            models=_named(models_),
            experiments=_named(experiments_),
            batches=_named(batches_),
        )
        return function(*args, only=only, **kwargs)

    return _with(function, wrapper, _FILTER)


def _named(given: tuple[str, ...]) -> list[str]:
    return [] if ALL in given else list(given)


def _with(
    function: Callable[..., T],
    wrapper: Callable[..., T],
    options: tuple[Callable[[Callable[..., T]], Callable[..., T]], ...],
) -> Callable[..., T]:
    wrapped: Callable[..., T] = update_wrapper(wrapper, function)
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped
