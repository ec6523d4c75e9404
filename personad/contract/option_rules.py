"""The rules that hold between settings, or that a type can't say."""

import math
from collections.abc import Iterator

from .options import Settings, Threshold

Broken = tuple[tuple[str, ...], str, str]
"""The keys that take part, what is wrong, and what to do."""


def broken(settings: Settings) -> Iterator[Broken]:
    """Every rule that `settings` break."""
    yield from _weights(settings)
    yield from _alert_thresholds(settings)
    yield from _webhook(settings)
    yield from _benchmark_thresholds(settings)
    yield from _timezone(settings)


def _weights(settings: Settings) -> Iterator[Broken]:
    weights = settings.quality.weights
    shown = [f"{name} {getattr(weights, name):g}" for name in weights.__struct_fields__]
    total = math.fsum(getattr(weights, name) for name in weights.__struct_fields__)
    if not math.isclose(total, 1, abs_tol=1e-6):
        yield (
            tuple(f"quality.weights.{name}" for name in weights.__struct_fields__),
            f"the weights of quality add up to {total:.6g} instead of 1",
            f"change them together; now they are {', '.join(shown)}",
        )


def _alert_thresholds(settings: Settings) -> Iterator[Broken]:
    found = settings.cost.alerts.thresholds
    if list(found) != sorted(set(found)):
        yield (
            ("cost.alerts.thresholds",),
            "cost.alerts.thresholds must rise from one to the next",
            f"write {sorted(set(found))}",
        )


def _webhook(settings: Settings) -> Iterator[Broken]:
    """What goes there tells of money: it goes encrypted, or stays on this machine."""
    from urllib.parse import urlsplit

    alerts = settings.cost.alerts
    if alerts.webhook_url is not None:
        key = ("cost.alerts.webhook_url",)
        try:
            parts = urlsplit(alerts.webhook_url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            yield key, "cost.alerts.webhook_url is no address", "look at its host and port"
            return
        if parts.scheme != "https" and not _is_this_machine(host):
            yield (
                key,
                "cost.alerts.webhook_url must begin with https://, unless it is on this machine",
                "http:// is for localhost, 127.0.0.1 and [::1]",
            )
        if "@" in parts.netloc or parts.fragment:
            yield (
                key,
                "cost.alerts.webhook_url may hold neither a name and password nor a fragment",
                "what it sends is signed: see cost.alerts.webhook_secret_env",
            )
    if (alerts.webhook_secret_env or "").upper().endswith("_API_KEY"):
        yield (
            ("cost.alerts.webhook_secret_env",),
            "cost.alerts.webhook_secret_env names a provider's key, which no daemon may see",
            "make a key for the webhook alone",
        )


def _is_this_machine(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _benchmark_thresholds(settings: Settings) -> Iterator[Broken]:
    benchmark = settings.benchmark
    names = benchmark.thresholds.__struct_fields__
    pairs = {f"benchmark.thresholds.{name}": getattr(benchmark.thresholds, name) for name in names}
    pairs["benchmark"] = Threshold(warn=benchmark.warn, fail=benchmark.fail)
    for key, pair in pairs.items():
        warn = benchmark.warn if pair.warn is None else pair.warn
        fail = benchmark.fail if pair.fail is None else pair.fail
        # A metric that says neither is wrong only where the two for all are, which is said once.
        if warn > fail and (pair.warn, pair.fail) != (None, None):
            yield (
                (
                    "benchmark.warn" if pair.warn is None else f"{key}.warn",
                    "benchmark.fail" if pair.fail is None else f"{key}.fail",
                ),
                f"{key} would warn from {warn:g} on and fail from {fail:g} on",
                f"make {key}.warn at most {key}.fail",
            )


def _timezone(settings: Settings) -> Iterator[Broken]:
    name = settings.daemon.timezone
    if name == "local":
        return
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    # A name such as `../x` or a folder's is refused with one of the others.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        from difflib import get_close_matches
        from zoneinfo import available_timezones

        near = get_close_matches(name, available_timezones(), 1)
        yield (
            ("daemon.timezone",),
            f"daemon.timezone: there is no zone {name!r}",
            f"did you mean {near[0]}?" if near else 'write one such as "Europe/Berlin"',
        )
