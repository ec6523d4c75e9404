"""What httpx2 alone takes to stream answers: `python -m bench.bare_stream URL CALLS CONCURRENCY`.

Prints the milliseconds on a core that each of so many calls took.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from typing import Any

import httpx2

SYSTEM, USER = "You write one research persona. " * 90, "I hate the booking, it takes long. " * 30
SCHEMA: dict[str, Any] = {"name": "persona", "strict": True, "schema": {"type": "object"}}


async def calls(url: str, count: int, concurrency: int) -> None:
    body = {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 4_000,
        "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}],
        "response_format": {"type": "json_schema", "json_schema": SCHEMA},
    }
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=concurrency)
    async with httpx2.AsyncClient(limits=limits, trust_env=False, timeout=60) as client:
        left = iter(range(count))
        await asyncio.gather(*(_some(client, url, body, left) for _ in range(concurrency)))


async def _some(client: httpx2.AsyncClient, url: str, body: Any, left: Iterator[int]) -> None:
    for _ in left:
        async with client.stream("POST", url, json=body) as response:
            response.raise_for_status()
            async for _piece in response.aiter_raw():
                continue


def main() -> int:
    url, count, concurrency = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    before = os.times()
    asyncio.run(calls(url, count, concurrency))
    after = os.times()
    took_s = after.user + after.system - before.user - before.system
    sys.stdout.write(f"{took_s / count * 1_000}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
