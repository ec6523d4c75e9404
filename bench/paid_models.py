"""Models that a made-up history was paid to, with what a call costs and takes there."""

from typing import NamedTuple


class Model(NamedTuple):
    """What a call costs there, and how long it takes."""

    provider: str
    name: str
    input_nanousd: int
    """A token; a nano-dollar a token is a dollar a billion."""
    output_nanousd: int
    log_ms: float
    """The logarithm of the median duration of a call in milliseconds."""


MODELS = (
    Model("anthropic", "claude-sonnet-4-5", 3_000, 15_000, 9.0),
    Model("anthropic", "claude-haiku-4-5", 1_000, 5_000, 8.1),
    Model("openai", "gpt-4o", 2_500, 10_000, 8.7),
    Model("openai", "gpt-4o-mini", 150, 600, 8.3),
    Model("google", "gemini-2.5-flash", 300, 2_500, 8.0),
    Model("mistral", "mistral-large-latest", 2_000, 6_000, 8.8),
)
