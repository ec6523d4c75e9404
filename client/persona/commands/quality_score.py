"""`persona quality score` and `rescore`: what persona files are worth, whoever made them."""

from pathlib import Path

import click

from persona.app import App, Output, Stopped, output_options, pass_app


@click.command("score")
@click.argument("files", metavar="PATH", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--source",
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH",
    help="The research they were made from; without it, faithfulness is left out.",
)
@click.option(
    "--no-redact", is_flag=True, help="Hold them against the source as it is, unredacted."
)
@click.option("--record", is_flag=True, help="Record the scores, so that trends show them.")
@click.option("--provider", default="other", metavar="NAME", help="Who made them, for --record.")
@click.option("--model", default="unknown", metavar="NAME", help="With what, for --record.")
@click.option("--experiment", metavar="NAME", help="A name to find them by, for --record.")
@output_options
@pass_app
def score(
    app: App,
    files: Path,
    source: Path | None,
    no_redact: bool,
    record: bool,
    provider: str,
    model: str,
    experiment: str | None,
    output: Output,
) -> None:
    """Score the personas in a file or folder: JSON, JSON lines or YAML, made by anything.

    Fields with other names are mapped where they are obvious, and listed where they are not.
    """
    for option, name in (("--provider", provider), ("--model", model)):
        if not 1 <= len(name.strip()) <= 200:
            raise click.UsageError(f"{option} must have 1 to 200 characters")
    from persona.generation.scored_files import events, score_files
    from persona.generation.scoring import settings_of
    from persona.generation.sources import read_sources
    from persona.render import scored_files as shown

    redact = app.settings.generate.redact and not no_redact
    reading = read_sources(source, redact=redact) if source is not None else None
    found = score_files(files, reading, settings_of(app.settings.quality))
    if not found.personas:
        reasons = "; ".join(f"{each.file}: {each.reason}" for each in found.skipped[:3])
        raise Stopped(
            f"there is no persona in {files}{f' ({reasons})' if reasons else ''}",
            code=65,
            hint="give a JSON, JSON lines or YAML file with fields such as name, goals and quotes",
        )
    if record:
        ours = {each.file for each in found.personas if each.made_here}
        made = [each for each in found.personas if not each.made_here]
        recorded = events(
            made, scorer=found.scorer, provider=provider, model=model, experiment=experiment
        )
        known = app.ledger.append(recorded).duplicates
        found = found.with_recorded(len(recorded) - known)
        if found.recorded:
            app.note(f"recorded {found.recorded} as {provider}/{model}, by {found.scorer}")
        if known:
            app.note(f"{known} had been recorded by {found.scorer} before, and count as then")
        if ours:
            app.note(
                f"{len(ours)} were made by this program, which recorded their scores when it made "
                "them: `persona quality rescore` scores those anew"
            )
    app.emit(output, found, lambda: shown.scored(found, verbose=app.flags.verbose > 0))


@click.command("rescore")
@click.option("--dry-run", is_flag=True, help="Show what would change, and record nothing.")
@click.option("--apply", "applies", is_flag=True, help="Record the new scores.")
@click.option("--batch", "batches", multiple=True, metavar="ID", help="Only this; repeatable.")
@output_options
@pass_app
def rescore(
    app: App, dry_run: bool, applies: bool, batches: tuple[str, ...], output: Output
) -> None:
    """Score personas anew that an older scorer scored, where their files and source still are.

    What was recorded stays; the new scores are recorded beside it, under the new scorer.
    """
    if dry_run == applies:
        raise click.UsageError("say either --dry-run or --apply")
    import msgspec

    from persona.generation.scoring import settings_of
    from persona.render import rescored as shown
    from persona.rescoring import rescore as scored_anew

    found, events = scored_anew(app.ledger, settings_of(app.settings.quality), batches)
    if applies and events:
        app.ledger.append(events)
        found = msgspec.structs.replace(found, applied=True)
    app.emit(output, found, lambda: shown.rescored(found))
