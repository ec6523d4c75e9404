"""What `generate --dry-run` shows: what was read, the segments, and what would be asked."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from persona.generation.cleaning import clean_line, clean_text
from persona.generation.model import FileRead, Unreadable
from persona.generation.plan import Plan
from persona.generation.prompts import Prompt, build_prompt
from persona.generation.providers.models import input_limit
from persona.render.document import render
from persona.render.values import UNPRICED, money, plural
from personad.contract.batch import BatchStarted
from personad.contract.cost import Estimated

_TERMS = 6


class SegmentPlan(Struct, frozen=True, kw_only=True):
    index: int
    participants: int
    records: int
    share: float
    terms: list[str]
    prompt_tokens: int
    prompt: Prompt | None = None


class DryRun(Struct, frozen=True, kw_only=True):
    """The document of `generate --dry-run --json`."""

    source: str
    language: str
    provider: str
    model: str
    files: list[FileRead]
    unreadable: list[Unreadable]
    records: int
    participants: int
    redactions: dict[str, int]
    calls: int
    prompt_tokens: int
    segments: list[SegmentPlan]
    estimate: Estimated | None = None
    """null: nothing is paid for."""


def dry_run(
    plan: Plan,
    started: BatchStarted,
    expected: Estimated | None = None,
    *,
    show_prompts: bool,
    as_json: bool,
) -> str:
    """The whole text, without a line break at its end."""
    found = _found(plan, started, show_prompts=show_prompts)
    found = msgspec.structs.replace(found, estimate=expected)
    if as_json:
        return render(found).decode().rstrip("\n")
    return "\n".join(_lines(found))


def _found(plan: Plan, started: BatchStarted, *, show_prompts: bool) -> DryRun:
    limit = input_limit(started.provider, started.model, started.base_url)
    prompts = [
        build_prompt(each, language=plan.reading.language, max_input_tokens=limit)
        for each in plan.segments
    ]
    segments = [
        SegmentPlan(
            index=index,
            participants=len(each.participants),
            records=len(each.records),
            share=round(each.share, 4),
            terms=list(each.terms),
            prompt_tokens=prompt.tokens,
            prompt=prompt if show_prompts else None,
        )
        for index, (each, prompt) in enumerate(zip(plan.segments, prompts, strict=True), 1)
    ]
    return DryRun(
        source=plan.reading.path,
        language=plan.reading.language,
        provider=started.provider,
        model=started.model,
        files=list(plan.reading.files),
        unreadable=list(plan.reading.unreadable),
        records=len(plan.reading.records),
        participants=sum(each.participants for each in segments),
        redactions=plan.reading.redactions,
        calls=len(segments),
        prompt_tokens=sum(each.prompt_tokens for each in segments),
        segments=segments,
    )


def _lines(found: DryRun) -> Iterator[str]:
    yield f"Source      {clean_line(found.source)}"
    yield (
        f"Read        {plural(len(found.files), 'file')}, {plural(found.records, 'record')}, "
        f"{plural(found.participants, 'participant')}, language {found.language}"
    )
    redacted = ", ".join(f"{n} {kind}" for kind, n in found.redactions.items() if n)
    yield f"Redacted    {redacted or 'nothing'}"
    yield f"Provider    {found.provider}, model {found.model}"
    yield f"Calls       {found.calls}, about {found.prompt_tokens:,} tokens in"
    if found.estimate is not None:
        yield from estimate_lines(found.estimate)
    yield from ("", "Files")
    for file in found.files:
        yield f"  {clean_line(file.source)}: {_about(file)}"
    for each in found.unreadable:
        line = f", line {each.line}" if each.line is not None else ""
        yield f"  {clean_line(each.source)}{line}: not read: {clean_line(each.reason)}"
    yield from ("", "Segments")
    for segment in found.segments:
        terms = ", ".join(map(clean_line, segment.terms[:_TERMS]))
        yield (
            f"  {segment.index:>3}  {segment.share:>4.0%}  "
            f"{plural(segment.participants, 'participant'):>18}  "
            f"{plural(segment.records, 'record'):>14}  {terms}"
        )
    for segment in found.segments:
        if segment.prompt is not None:
            yield from _prompt(segment.index, segment.prompt)


def estimate_lines(found: Estimated) -> Iterator[str]:
    """What a run is expected to cost, and what that rests on."""
    calls, written = found.calls, found.output_tokens
    model = f"{clean_line(found.provider)}/{clean_line(found.model)}"
    low, expected, high = found.low_nanousd, found.expected_nanousd, found.high_nanousd
    if low is None or expected is None or high is None:
        yield f"Estimate    {UNPRICED}: nobody knows what {model} costs"
        yield "            `persona cost prices set` tells its price; what it costs is not counted"
    elif not high:
        yield f"Estimate    {money(0)}: {model} is free"
    else:
        yield (
            f"Estimate    {money(expected)} expected, {money(low)} to {money(high)}; {model}, "
            f"prices from {found.price_source}"
        )
    yield (
        f"            {plural(calls.expected, 'call')}; tokens in about "
        f"{found.input_tokens.expected:,}, out {written.low:,} to {written.high:,}"
    )
    if found.history_personas:
        past = plural(found.history_personas, "persona")
        batches = plural(found.history_batches, "batch").replace("batchs", "batches")
        yield f"            judged by {past} of this model in {batches}"
    else:
        yield "            a rule of thumb: this ledger has no batch of this model yet"


def _about(file: FileRead) -> str:
    parts: list[Any] = [
        file.format,
        file.encoding,
        f"delimiter {file.delimiter!r}" if file.delimiter else None,
        plural(file.records, "record"),
        plural(file.participants, "participant"),
        f"text in {', '.join(file.text_columns)}" if file.text_columns else None,
        f"participant in {file.participant_column}" if file.participant_column else None,
        *file.notes,
    ]
    return clean_line("; ".join(part for part in parts if part))


def _prompt(index: int, prompt: Prompt) -> Iterator[str]:
    yield from ("", f"Prompt of persona {index}, {prompt.tokens:,} tokens, {prompt.digest}")
    for title, text in (("instructions", prompt.instructions), ("source", prompt.source)):
        yield f"--- {title}"
        yield clean_text(text)
    yield "--- schema"
    yield msgspec.json.encode(prompt.schema).decode()
