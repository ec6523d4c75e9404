"""How a batch's personas are scored: by which settings, and beside whom."""

import logging
from pathlib import Path

import anyio
import anyio.to_thread

from persona.generation.output import OutputError, written_personas
from persona.generation.quality import Settings, load_metrics
from persona.generation.quality.crowd import Crowd
from personad.contract.batch import BatchStarted
from personad.contract.options import Quality

LOAD_AFTER_S = 0.5
"""By then the first calls have been sent, and few have been answered."""

logger = logging.getLogger(__name__)


def settings_of(quality: Quality) -> Settings:
    """The part of the configuration that scores depend on."""
    weights = {name: getattr(quality.weights, name) for name in quality.weights.__struct_fields__}
    return Settings(weights=weights, required_fields=tuple(quality.required_fields))


def crowd_of(started: BatchStarted) -> Crowd:
    """The personas that an earlier run of the batch finished, by index. Raises OSError."""
    crowd = Crowd()
    try:
        for index, persona in written_personas(Path(started.output), total=started.total):
            crowd.join(index, persona)
    except OutputError as error:
        # The batch stops at its end because of it; until then, personas can be made.
        logger.warning("not all finished personas are compared with: %s", error)
    return crowd


async def load_soon() -> None:
    """Loads what scores while the first answers are awaited; no call waits for it to be sent."""
    await anyio.sleep(LOAD_AFTER_S)
    await anyio.to_thread.run_sync(load_metrics)
