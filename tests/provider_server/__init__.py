"""A server that stands in for every provider: four wire formats, on a script, counting its pay.

    with ProviderServer([Turn(status=429, retry_after="2"), Turn()]) as server:
        … --provider openai --base-url {server.url("openai")} …
        assert server.paid == …

What it was paid, by request id, is what a ledger has to say.
"""

from .scripts import Asked, Paid, Turn
from .server import KEY, ProviderServer

__all__ = ["KEY", "Asked", "Paid", "ProviderServer", "Turn"]
