"""What a run leaves in the output folder beside the personas: the index and `batch.json`."""

from collections import Counter
from pathlib import Path

from persona.files import sync_all
from persona.generation.output import (
    BatchCosts,
    BatchFile,
    BatchSettings,
    LeftOut,
    usd,
    write_batch,
    write_index,
    written_personas,
)
from persona.generation.quality import scorer_of
from persona.generation.shop import Shop
from personad.contract.base import VERSION
from personad.contract.batch import BatchState


def sum_up(shop: Shop, state: BatchState) -> None:
    """Writes `index.md` and `batch.json` of the batch as it now is; all that was written before is
    on the disk then. Raises OSError."""
    started = shop.started
    folder = Path(started.output)
    # An ended batch is never looked at again, so nothing of it may be lost with the power.
    sync_all(folder)
    left_out = [
        LeftOut(metric=metric, reason=reason, personas=personas)
        for (metric, reason), personas in sorted(Counter(shop.left_out).items())
    ]
    write_index(
        folder,
        written_personas(folder, total=started.total),
        batch=started.batch,
        total=started.total,
        notes=[_told(each) for each in left_out],
    )
    write_batch(
        folder,
        BatchFile(
            batch=started.batch,
            status=state.status,
            started_at=state.started_at,
            finished_at=state.finished_at,
            completed=state.counts.completed,
            failed=state.counts.failed,
            settings=_settings(shop),
            versions={"persona": VERSION, "scorer": scorer_of(shop.scoring)},
            digests={"source": started.source.digest, "prompt": started.prompt_digest},
            costs=BatchCosts(
                cost_usd=usd(state.cost.spent_nanousd),
                calls=state.usage.calls,
                input_tokens=state.usage.input_tokens,
                output_tokens=state.usage.output_tokens,
                cache_read_tokens=state.usage.cache_read_tokens,
                cache_write_tokens=state.usage.cache_write_tokens,
            ),
            left_out=left_out,
        ),
    )


def _told(left_out: LeftOut) -> str:
    personas = "1 persona has" if left_out.personas == 1 else f"{left_out.personas} personas have"
    return f"{personas} no {left_out.metric}: {left_out.reason}"


def _settings(shop: Shop) -> BatchSettings:
    started = shop.started
    return BatchSettings(
        provider=started.provider,
        model=started.model,
        total=started.total,
        concurrency=started.concurrency,
        language=shop.language,
        redact=started.redact,
        source=started.source.path,
        base_url=started.base_url,
        experiment=started.experiment,
        seed=started.seed,
        text_columns=tuple(started.text_columns),
        participant_column=started.participant_column,
    )
