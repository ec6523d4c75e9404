"""For CI systems that show test results: a gating metric is a test."""

from xml.etree import ElementTree as ET

from persona.benchmark.comparing import ComparedMetric

from .material import Material


def render(material: Material) -> str:
    """One suite; a failure fails, a warning is told, what could not be compared is skipped.

    Without a comparison each metric is a test that was skipped, as nothing says what it should be.
    """
    found = material.comparison
    rows = [row for row in found.metrics if row.gates] if found is not None else []
    failed = sum(row.verdict == "failure" for row in rows)
    skipped = sum(row.verdict in ("inconclusive", "not comparable") for row in rows)
    is_apart = found is not None and not found.comparable
    alone = material.metrics if found is None else []
    suite = ET.Element(
        "testsuite",
        name=f"persona benchmark {material.run.workload}",
        tests=str(len(rows) + len(alone) + is_apart),
        failures=str(failed),
        errors="0",
        skipped=str(skipped + len(alone) + is_apart),
        timestamp=f"{material.run.at:%Y-%m-%dT%H:%M:%S}",
    )
    for row in rows:
        _case(suite, row)
    for measured in alone:
        place = f"benchmark.{material.run.workload}"
        case = ET.SubElement(suite, "testcase", name=measured.metric, classname=place)
        ET.SubElement(case, "skipped", message=f"p50 {measured.p50:g}; compared with nothing")
    if found is not None and is_apart:
        case = ET.SubElement(suite, "testcase", name="comparison", classname=found.baseline)
        ET.SubElement(case, "skipped", message=f"not comparable: {found.reason}")
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, row: ComparedMetric) -> None:
    case = ET.SubElement(suite, "testcase", name=row.metric, classname=f"benchmark.{row.workload}")
    told = said(row)
    match row.verdict:
        case "failure":
            ET.SubElement(case, "failure", message=told, type="regression")
        case "inconclusive" | "not comparable":
            ET.SubElement(case, "skipped", message=f"{row.verdict}: {row.note or told}")
        case _:
            ET.SubElement(case, "system-out").text = f"{row.verdict}: {told}"


def said(row: ComparedMetric) -> str:
    """A change in words, with its interval."""
    change = "from nothing" if row.change_percent is None else f"{row.change_percent:+.1f} %"
    if row.low_percent is None or row.high_percent is None:
        return f"{row.metric} {change}"
    return (
        f"{row.metric} {change} (95 % interval {row.low_percent:+.1f} to {row.high_percent:+.1f} %)"
    )
