"""What the server's model writes: a persona of the records it was sent, faithfully quoted."""

from typing import Any

import msgspec

from .scripts import Asked

_QUOTES = 3


def persona(asked: Asked) -> dict[str, Any]:
    said = [one for one in asked.records if one.get("kind") != "fact"]
    quoted = [one for one in said if len(one["text"].split()) >= 6][:_QUOTES] or said[:1]
    quotes = [one["text"] for one in quoted]
    evidence = [
        {
            "field": f"quotes[{at}]",
            "source": one["source"],
            "locator": one["locator"],
            "quote": one["text"],
        }
        for at, one in enumerate(quoted)
    ]
    return {
        "name": f"Ada Moor{asked.number}",
        "age": None,
        "occupation": None,
        "location": None,
        "summary": "She is one of those who wait for a long time and would like to wait less.",
        "goals": ["She wants to be done sooner.", "She wants to know what comes next."],
        "pain_points": ["It takes her far too long.", "Nobody tells her what is going on."],
        "behaviours": ["She asks other people first.", "She does it again every time."],
        "motivations": ["She does it for her family."],
        "quotes": quotes,
        "evidence": evidence,
    }


def in_french(found: dict[str, Any]) -> dict[str, Any]:
    return found | {
        "summary": "Elle attend toujours trop longtemps et elle voudrait bien que ce soit plus "
        "simple pour elle et pour les gens qui sont avec elle.",
        "goals": ["Elle veut que tout soit fini plus vite.", "Elle veut savoir ce qui va venir."],
        "pain_points": ["Cela lui prend beaucoup trop de temps.", "On ne lui dit jamais rien."],
        "behaviours": ["Elle demande aux autres avant de le faire elle-même."],
        "motivations": ["Elle le fait pour sa famille et pour son travail."],
    }


def with_an_invented_quote(found: dict[str, Any]) -> dict[str, Any]:
    """One quote that nobody said, with evidence, before those that somebody did."""
    invented = "I have never in my life been so very happy with anything."
    kept = [one | {"field": f"quotes[{at}]"} for at, one in enumerate(found["evidence"], 1)]
    place = {key: found["evidence"][0][key] for key in ("source", "locator")}
    return found | {
        "quotes": [invented, *found["quotes"]],
        "evidence": [{"field": "quotes[0]", "quote": invented} | place, *kept],
    }


def written(found: dict[str, Any]) -> str:
    return msgspec.json.encode(found).decode()
