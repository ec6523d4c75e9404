"""What can be measured, in the order in which it is."""

from collections.abc import Callable

from msgspec import Struct

from . import (
    asking,
    daemon_idle,
    daemon_ready,
    daemon_size,
    deciding,
    estimating,
    exporting,
    hosted,
    ingest,
    large,
    micro,
    reading,
    real_noise,
    rebuilding,
    running,
    scoring,
    startup,
    upkeep,
    viewing,
    watching,
)
from .figure import Figure


class Measurement(Struct, frozen=True):
    measure: Callable[[], list[Figure]]
    question: str


MEASUREMENTS: dict[str, Measurement] = {
    "startup": Measurement(startup.measure, "How long does a command take?"),
    "watching": Measurement(watching.measure, "How soon does a watcher know?"),
    "viewing": Measurement(viewing.measure, "What does looking at a batch take?"),
    "reading": Measurement(reading.measure, "What do 10,000 records take?"),
    "running": Measurement(running.measure, "What does the runner add to the provider's time?"),
    "scoring": Measurement(scoring.measure, "What does it take to score personas?"),
    "hosted": Measurement(hosted.measure, "What does it add to a provider that streams?"),
    "ready": Measurement(daemon_ready.measure, "How soon does a daemon answer?"),
    "size": Measurement(daemon_size.measure, "How much memory does a daemon take?"),
    "idle": Measurement(daemon_idle.measure, "What does a daemon cost while nothing happens?"),
    "estimating": Measurement(estimating.measure, "Does a batch end when it was said to?"),
    "ingest": Measurement(ingest.measure, "How many events a second are taken in?"),
    "large": Measurement(large.measure, "What does a daemon take with ten million events?"),
    "asking": Measurement(asking.measure, "How soon are questions about thirty days answered?"),
    "deciding": Measurement(deciding.measure, "Is a comparison of two versions to be trusted?"),
    "noise": Measurement(real_noise.measure, "And on this machine, as it is?"),
    "micro": Measurement(micro.measure, "What does each part of making a persona take?"),
    "load": Measurement(micro.measure_load, "How many requests does a daemon answer?"),
    "exporting": Measurement(exporting.measure, "How fast are costs exported?"),
    "rebuilding": Measurement(rebuilding.measure, "How fast is everything folded anew?"),
    "upkeep": Measurement(upkeep.measure, "How long does an append wait for what is tidied up?"),
}
