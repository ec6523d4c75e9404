"""Bencher's metric format: a map of benchmarks to measures to values."""

import msgspec

from .material import Material


def render(material: Material) -> str:
    """The workload's measures, with the interval of the mean where there is one."""
    measures = {}
    for row in material.metrics:
        value = {"value": row.mean}
        if row.plus_minus is not None:
            value |= {
                "lower_value": row.mean - row.plus_minus,
                "upper_value": row.mean + row.plus_minus,
            }
        measures[row.metric] = value
    whole = {f"{material.run.workload} ({material.run.provider})": measures}
    return msgspec.json.format(msgspec.json.encode(whole)).decode() + "\n"
