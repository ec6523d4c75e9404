"""`python -m bench [NAME…]`: measures, and prints each figure beside its limit and its peer."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from .machine import QUIET, machine, wait_until_quiet
from .page import page as as_page
from .registry import MEASUREMENTS
from .report import Report, as_text


@click.command(epilog="Ends with 1 where a figure is not within its limit.")
@click.argument("names", nargs=-1, type=click.Choice(list(MEASUREMENTS)), metavar="[NAME]...")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write a document there too.")
@click.option("--page", type=click.Path(path_type=Path), help="Write the page of the docs there.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Before each measurement, wait up to so long for the machine to be quiet.",
)
@click.option("--list", "listing", is_flag=True, help="Say what can be measured, and end.")
def main(
    names: tuple[str, ...], path: Path | None, page: Path | None, patience: float, listing: bool
) -> None:
    """Measure all, or only what is named; in temporary folders, on ledgers of their own."""
    if listing:
        for name, measurement in MEASUREMENTS.items():
            click.echo(f"{name:<12}{measurement.question}")
        return
    where, began_at, clock = machine(), datetime.now(UTC), time.monotonic()
    figures = []
    for name in names or MEASUREMENTS:
        busy = wait_until_quiet(patience)
        noise = f" (others use {busy:.0%} of the cores)" if busy > QUIET else ""
        click.echo(f"{name}: {MEASUREMENTS[name].question}{noise}", err=True)
        figures += MEASUREMENTS[name].measure()
    report = Report(
        machine=where, began_at=began_at, took_s=time.monotonic() - clock, figures=figures
    )
    if path is not None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    if page is not None:
        page.write_text(as_page(report), encoding="utf-8")
    click.echo(as_text(report))
    sys.exit(1 if report.missed else 0)


if __name__ == "__main__":
    main()
