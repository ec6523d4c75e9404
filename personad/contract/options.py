"""Every key of the configuration: its type, range, default and meaning, described nowhere else."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from msgspec import Meta, Struct

Words = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4_096,
        pattern=r"\A[^\x00-\x1f\x7f]+\Z",
        title="text without control characters",
    ),
]
Folder = Annotated[
    str,
    Meta(
        max_length=4_096,
        pattern=r"\A(/|~(/|\Z))[^\x00-\x1f\x7f]*\Z",
        title="an absolute path, or one that begins with ~/",
    ),
]
Language = Annotated[
    str,
    Meta(
        pattern=r"\A(auto|[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*)\Z",
        title='"auto" or a language code such as "en" or "pt-BR"',
    ),
]
WebAddress = Annotated[
    str,
    Meta(pattern=r"\Ahttps?://[^\s\x00-\x1f\x7f]+\Z", title="an http:// or https:// address"),
]
VariableName = Annotated[
    str,
    Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_]*\Z", title="the name of an environment variable"),
]
Score = Annotated[float, Meta(ge=0, le=1)]
Hours = Annotated[float, Meta(ge=0, le=8_760)]
Seconds = Annotated[float, Meta(gt=0, le=604_800)]
Change = Annotated[float, Meta(ge=0, le=1_000)]
"""A worsening in percent, or in percentage points where the metric is a rate."""
PersonaField = Literal[
    "name",
    "age",
    "occupation",
    "location",
    "summary",
    "goals",
    "pain_points",
    "behaviours",
    "motivations",
    "quotes",
    "evidence",
]


class Daemon(Struct, frozen=True, kw_only=True):
    data_dir: Annotated[
        Folder | None,
        Meta(description="where the ledger lives; unset: `$XDG_DATA_HOME/personad`"),
    ] = None
    runtime_dir: Annotated[
        Folder | None,
        Meta(description="where the sockets live; unset: `personad` in `$XDG_RUNTIME_DIR`"),
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="the least that the daemon's own log keeps"),
    ] = "info"
    timezone: Annotated[
        Words, Meta(description='the zone that days are counted in; `"local"` is the system\'s')
    ] = "local"
    week_start: Annotated[
        Literal["monday", "saturday", "sunday"], Meta(description="the first day of a week")
    ] = "monday"


class Retention(Struct, frozen=True, kw_only=True):
    raw_days: Annotated[
        int,
        Meta(
            ge=1,
            le=36_500,
            description="days that single events are kept, two at least; totals stay for ever",
        ),
    ] = 400


class Progress(Struct, frozen=True, kw_only=True):
    mode: Annotated[
        Literal["detailed", "compact", "quiet", "json"],
        Meta(description="what a run shows while it goes on"),
    ] = "detailed"
    refresh_hz: Annotated[float, Meta(gt=0, le=60, description="redraws a second, at most")] = 10


class Retry(Struct, frozen=True, kw_only=True):
    retries: Annotated[
        int, Meta(ge=0, le=100, description="further attempts after a failed call")
    ] = 3
    delay_s: Annotated[
        float, Meta(ge=0, le=3_600, description="seconds before the first further attempt")
    ] = 5
    multiplier: Annotated[
        float, Meta(ge=1, le=10, description="by how much each delay grows over the last")
    ] = 2
    jitter: Annotated[
        bool, Meta(description="draw each delay at random between 0 and its full length")
    ] = True
    breaker_failures: Annotated[
        int,
        Meta(ge=1, le=1_000, description="failures in a row after which a provider is left alone"),
    ] = 5


class GenerationBudget(Struct, frozen=True, kw_only=True):
    enforcement: Annotated[
        Literal["warn", "stop"], Meta(description="what a run does when it would cross its budget")
    ] = "warn"


class Generate(Struct, frozen=True, kw_only=True):
    provider: Annotated[Words, Meta(description="who writes the personas")] = "local"
    model: Annotated[Words | None, Meta(description="unset: the provider's own default")] = None
    concurrency: Annotated[int, Meta(ge=1, le=256, description="calls at the same time")] = 4
    output: Annotated[
        Words, Meta(description="the folder that a batch's own folder is made in")
    ] = "outputs"
    redact: Annotated[
        bool, Meta(description="replace e-mail addresses, telephone numbers and names first")
    ] = True
    timeout_s: Annotated[
        Seconds | None, Meta(description="seconds for a whole run; unset: no limit")
    ] = None
    call_timeout_s: Annotated[Seconds, Meta(description="seconds for one call")] = 120
    language: Annotated[Language, Meta(description="the language that personas are written in")] = (
        "auto"
    )
    confirm_above_usd: Annotated[
        float,
        Meta(ge=0, le=1_000_000, description="ask before a run that is expected to cost more"),
    ] = 1
    progress: Progress = Progress()
    retry: Retry = Retry()
    budget: GenerationBudget = GenerationBudget()


class CostAlerts(Struct, frozen=True, kw_only=True):
    enabled: Annotated[bool, Meta(description="tell of budgets that no command set, too")] = False
    thresholds: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=1_000)], ...],
        Meta(
            min_length=1,
            description="percent of a budget: 50 is logged, 80 warned, 100 does its action",
        ),
    ] = (50, 80, 100)
    cooldown_h: Annotated[Hours, Meta(description="hours till a lowered limit is told again")] = 24
    webhook_url: Annotated[
        WebAddress | None,
        Meta(description="where alerts are posted to: https, or http here; unset: nowhere"),
    ] = None
    webhook_secret_env: Annotated[
        VariableName | None,
        Meta(description="the environment variable that holds the key alerts are signed with"),
    ] = None


class CostExport(Struct, frozen=True, kw_only=True):
    auto: Annotated[bool, Meta(description="write the costs out by itself")] = False
    format: Annotated[
        Literal["csv", "json", "jsonl", "parquet"], Meta(description="the format it writes")
    ] = "csv"
    directory: Annotated[Words, Meta(description="where to, beside the database")] = "cost-reports"
    every: Annotated[
        Literal["day", "week", "month"], Meta(description="how often, and how much at once")
    ] = "day"


class CostOptimise(Struct, frozen=True, kw_only=True):
    models: Annotated[bool, Meta(description="look for a cheaper model that is no worse")] = True
    batch: Annotated[bool, Meta(description="look at batch discounts")] = True
    caching: Annotated[bool, Meta(description="look at prompt caching")] = True
    retries: Annotated[bool, Meta(description="look at what retries cost")] = True


class Cost(Struct, frozen=True, kw_only=True):
    alerts: CostAlerts = CostAlerts()
    export: CostExport = CostExport()
    optimise: CostOptimise = CostOptimise()


class Weights(Struct, frozen=True, kw_only=True):
    """What each metric counts in the composite; together they are 1."""

    coherence: Annotated[Score, Meta(description="weight of coherence in the composite")] = 0.25
    faithfulness: Annotated[Score, Meta(description="weight of faithfulness")] = 0.30
    completeness: Annotated[Score, Meta(description="weight of completeness")] = 0.20
    distinctiveness: Annotated[Score, Meta(description="weight of distinctiveness")] = 0.15
    authenticity: Annotated[Score, Meta(description="weight of authenticity")] = 0.10


class QualityAlerts(Struct, frozen=True, kw_only=True):
    enabled: Annotated[bool, Meta(description="tell when quality drops")] = False
    coherence: Annotated[Score, Meta(description="tell below this coherence")] = 0.75
    faithfulness: Annotated[Score, Meta(description="tell below this faithfulness")] = 0.70
    composite: Annotated[Score, Meta(description="tell below this composite")] = 0.75
    ewma: Annotated[
        bool, Meta(description="tell of a drift, too, before a threshold is reached")
    ] = True
    cooldown_h: Annotated[Hours, Meta(description="hours before the same alert comes again")] = 24


class Quality(Struct, frozen=True, kw_only=True):
    required_fields: Annotated[
        tuple[PersonaField, ...], Meta(description="what a complete persona must have")
    ] = ("name", "summary", "goals", "pain_points", "behaviours", "quotes")
    accept: Annotated[Score, Meta(description="a persona is accepted from this composite on")] = (
        0.75
    )
    weights: Weights = Weights()
    alerts: QualityAlerts = QualityAlerts()


class Threshold(Struct, frozen=True, kw_only=True):
    """How much worse a metric may become; unset: `benchmark.warn` and `benchmark.fail`."""

    warn: Annotated[Change | None, Meta(description="a warning from here on; 0: any worsening")] = (
        None
    )
    fail: Annotated[Change | None, Meta(description="a failure from here on; 0: any worsening")] = (
        None
    )


class Thresholds(Struct, frozen=True, kw_only=True):
    generation_latency_p50: Threshold = Threshold(warn=10, fail=25)
    generation_latency_p95: Threshold = Threshold(warn=15, fail=35)
    generation_latency_p99: Threshold = Threshold(warn=15, fail=35)
    time_to_first_token: Threshold = Threshold()
    throughput_personas_per_minute: Threshold = Threshold()
    memory_peak_mb: Threshold = Threshold(warn=20, fail=50)
    memory_average_mb: Threshold = Threshold(warn=20, fail=50)
    api_calls_per_persona: Threshold = Threshold(warn=0, fail=15)
    tokens_per_persona: Threshold = Threshold(warn=0, fail=15)
    cost_per_persona_usd: Threshold = Threshold()
    retry_rate: Threshold = Threshold(warn=1, fail=5)
    parse_success_rate: Threshold = Threshold(warn=1, fail=5)
    cli_startup: Threshold = Threshold(warn=20, fail=50)


class Workload(Struct, frozen=True, kw_only=True):
    iterations: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        Meta(description="runs; unset: what the workload itself says"),
    ] = None
    limit_s: Annotated[
        Seconds | None, Meta(description="seconds after which no further run begins; unset: none")
    ] = None


class Workloads(Struct, frozen=True, kw_only=True):
    quick: Workload = Workload(iterations=10, limit_s=60)
    standard: Workload = Workload(iterations=100, limit_s=600)
    batch: Workload = Workload(iterations=20)
    large: Workload = Workload()
    full: Workload = Workload(iterations=500, limit_s=1_800)
    provider: Workload = Workload()
    local: Workload = Workload()


class Benchmark(Struct, frozen=True, kw_only=True):
    baselines_dir: Annotated[Words, Meta(description="where baselines are kept")] = "baselines"
    reports_dir: Annotated[Words, Meta(description="where reports are put")] = "benchmark-reports"
    default_workload: Annotated[Words, Meta(description="what is run when none is named")] = (
        "standard"
    )
    warn: Annotated[Change, Meta(description="percent worse that is warned of")] = 10
    fail: Annotated[Change, Meta(description="percent worse that is a failure")] = 25
    thresholds: Thresholds = Thresholds()
    workloads: Workloads = Workloads()


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that can be configured, with the defaults."""

    daemon: Daemon = Daemon()
    retention: Retention = Retention()
    generate: Generate = Generate()
    cost: Cost = Cost()
    quality: Quality = Quality()
    benchmark: Benchmark = Benchmark()


DEFAULTS = Settings()


def leaves(struct: Struct = DEFAULTS, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every dotted key below `struct` with its value, in the order of their description."""
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if isinstance(value, Struct):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


KEYS = dict(leaves())
"""Every dotted key and its default."""


def tables() -> tuple[str, ...]:
    """The dotted name of every table, in the order of their description."""
    names = (key.split(".")[:-1] for key in KEYS)
    return tuple(
        dict.fromkeys(".".join(name[:depth]) for name in names for depth in range(1, len(name) + 1))
    )


def value_of(settings: Settings, key: str) -> object:
    """The value, or the table, at a dotted key; `AttributeError` where there is no such key."""
    found: object = settings
    for name in key.split("."):
        found = getattr(found, name)
    return found


def type_of(key: str) -> Any:
    """The annotation of a dotted key, range and description included."""
    table, _, name = key.rpartition(".")
    return type(value_of(DEFAULTS, table)).__annotations__[name]


def variable_of(key: str) -> str:
    """The environment variable that sets a dotted key."""
    name = key.upper().replace(".", "_")
    return f"PERSONAD_{name.removeprefix('DAEMON_')}" if key[:7] == "daemon." else f"PERSONA_{name}"


def is_list(annotation: Any) -> bool:
    """Whether a key takes several values."""
    return get_origin(_bare(annotation)) is tuple


def choices(annotation: Any) -> tuple[str, ...]:
    """The words that a key takes, where it takes only certain words, singly or in a list."""
    bare = _bare(annotation)
    if get_origin(bare) is tuple:
        return choices(get_args(bare)[0])
    return get_args(bare) if get_origin(bare) is Literal else ()


def description(annotation: Any) -> str:
    """What a key means."""
    return next(meta.description for meta in _metas(annotation) if meta.description)


def expectation(annotation: Any) -> str:
    """What a key takes, in words: `a whole number from 1 to 256`."""
    metas = _metas(annotation)
    if title := next((meta.title for meta in metas if meta.title), None):
        return title
    bare = _bare(annotation)
    if get_origin(bare) is Literal:
        return "one of " + ", ".join(f'"{word}"' for word in get_args(bare))
    if get_origin(bare) is tuple:
        return f"a list, each {expectation(get_args(bare)[0])}"
    if bare is bool:
        return "true or false"
    return ("a whole number" if bare is int else "a number") + _range(metas)


def _range(metas: tuple[Meta, ...]) -> str:
    low = next((meta.ge for meta in metas if meta.ge is not None), None)
    above = next((meta.gt for meta in metas if meta.gt is not None), None)
    high = next(meta.le for meta in metas if meta.le is not None)
    start = f"from {low:,}" if low is not None else f"above {above:,}, up"
    return f" {start} to {high:,}"


def _metas(annotation: Any) -> tuple[Meta, ...]:
    """The outermost last, through `… | None`."""
    if get_origin(annotation) is Annotated:
        inner, *metas = get_args(annotation)
        return (*_metas(inner), *metas)
    if type(None) in get_args(annotation):
        return _metas(get_args(annotation)[0])
    return ()


def _bare(annotation: Any) -> Any:
    """The type without range, description and `| None`."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if type(None) in get_args(annotation):
        return _bare(get_args(annotation)[0])
    return annotation
