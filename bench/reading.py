"""What generating from much research data takes: time, memory, and memory by number of files."""

import time
from pathlib import Path

from .corpus import interviews, survey
from .figure import Figure, beside
from .house import PROGRAMS, House, daemon, house
from .process import Peaks, process_with

RECORDS, PERSONAS = 10_000, 50
TIME_S, MEMORY_MB = 30.0, 500.0
FILES = (1, 100, 1_000)
FILES_PERSONAS = 5
_LOOK_EVERY_S = 0.005


def measure() -> list[Figure]:
    return [*_many_records(), *_many_files()]


def _many_records() -> list[Figure]:
    with house() as here, daemon(here):
        for records in (RECORDS // 10, RECORDS):
            survey(here.folder / f"{records}.csv", records)
        tenth_s, tenth = _generate(here, here.folder / f"{RECORDS // 10}.csv", PERSONAS)
        took_s, peaks = _generate(here, here.folder / f"{RECORDS}.csv", PERSONAS)
    sizes = ", ".join(f"{name} {mb:.0f} MB" for name, mb in peaks.items())
    what = f"{RECORDS:,} records into {PERSONAS} personas"
    return [
        Figure(
            name=f"{what}, time",
            value=took_s,
            limit=TIME_S,
            unit="s",
            peer=beside(f"{RECORDS // 10:,} records", tenth_s, took_s, "s"),
            detail="from `persona generate` to its end, provider local; read and segmented twice, "
            "by the command and by its runner",
        ),
        Figure(
            name=f"{what}, memory",
            value=sum(peaks.values()),
            limit=MEMORY_MB,
            unit="MB",
            peer=beside(
                f"{RECORDS // 10:,} records", sum(tenth.values()), sum(peaks.values()), "MB"
            ),
            detail=f"peaks of both processes together: {sizes}",
        ),
    ]


def _many_files() -> list[Figure]:
    peaks: dict[int, dict[str, float]] = {}
    megabytes: dict[int, float] = {}
    with house() as here, daemon(here):
        for files in FILES:
            folder = here.folder / f"files-{files}"
            megabytes[files] = interviews(folder, files) / 1e6
            _, peaks[files] = _generate(here, folder, min(files, FILES_PERSONAS))
    one, some, many = (max(peaks[files].values()) for files in FILES)
    return [
        Figure(
            name=f"memory, {FILES[2]:,} files against {FILES[1]}",
            value=many / some,
            limit=FILES[2] / FILES[1],
            unit="×",
            peer=f"{FILES[1]} files of {megabytes[FILES[1]]:.1f} MB: {some:.0f} MB",
            detail=f"peak of the larger process: {many:.0f} MB with {megabytes[FILES[2]]:.1f} MB "
            f"of text; one file {one:.0f} MB",
        ),
        Figure(
            name="the same, over what one file takes",
            value=(many - one) / (some - one),
            limit=FILES[2] / FILES[1],
            unit="×",
            peer=f"{FILES[1]} files: {some - one:.0f} MB more than one",
            detail=f"{many - one:.0f} MB more: "
            f"{(many - one) / megabytes[FILES[2]]:.1f} bytes a byte of text",
        ),
    ]


def _generate(here: House, source: Path, personas: int) -> tuple[float, dict[str, float]]:
    """Seconds, and the peak memory of the command and of its runner in MB."""
    command = [str(PROGRAMS / "persona"), "generate", "--from", str(source), "-n", str(personas)]
    command += ["--progress", "quiet", "--provider", "local", "--output", f"{source}.out"]
    ours = f"PERSONAD_DATA_DIR={here.paths.data_dir}"
    with Peaks() as peaks:
        began = time.perf_counter()
        process = here.spawn(command, stderr=None)
        peaks.follow("command", process.pid)
        runner = None
        while (status := process.poll()) is None:
            if runner is None:
                runner = process_with("persona.generation.runner", ours)
                if runner is not None:
                    peaks.follow("runner", runner)
            time.sleep(_LOOK_EVERY_S)
        took_s = time.perf_counter() - began
        while peaks.following:
            time.sleep(_LOOK_EVERY_S)
    if status or runner is None:
        raise RuntimeError(f"`persona generate` ended with {status}, its runner was {runner}")
    return took_s, peaks.mb
