"""Metrics of other packages: they join, and whatever they do hurts nothing but their own score."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from persona.generation.model import Draft
from persona.generation.quality import METRICS, Score, Scores, Settings
from persona.generation.quality import plugins as apart
from persona.generation.quality.plugins import Plugin

from ..studio import WITHIN_S, Studio  # noqa: TID252
from .test_quality import GOOD, OTHER, SOURCE

PLUGIN = """
import os, sys, time
from persona.generation.quality import NotMeasurable, Score

class Metric:
    def __init__(self, name, answer):
        self.name, self.answer = name, answer
    def score(self, persona, segment, peers, settings):
        return self.answer(persona, segment, peers)

def raising(error):
    raise error

def hang(*_):
    while True:
        pass


composite = Metric("composite", lambda *_: Score(0.0))
tone = Metric("tone", lambda *_: Score(0.5, unsupported=["\\x1b[31mred"]))
completeness = Metric("completeness", lambda *_: Score(0.0))
nan = Metric("nan", lambda *_: Score(float("nan")))
above = Metric("above", lambda *_: Score(1.01))
below = Metric("below", lambda *_: Score(-0.01))
text_value = Metric("text_value", lambda *_: Score("0.5"))
no_list = Metric("no_list", lambda *_: Score(0.5, unsupported=None))
answers_text = Metric("answers_text", lambda *_: "good")
raises = Metric("raises", lambda *_: raising(ZeroDivisionError("no peers")))
leaves = Metric("leaves", lambda *_: sys.exit("enough"))
ends = Metric("ends", lambda *_: os._exit(3))
hangs = Metric("hangs", hang)
prints = Metric("prints", lambda *_: (print("chatter"), Score(0.25))[1])
nothing = Metric("nothing", lambda *_: raising(NotMeasurable("no tone without a voice")))
peers = Metric("peers", lambda persona, segment, peers: Score(
    0.1 * len(peers), notes=[" ".join(each.name for each in peers), segment.digest, persona.name]))
no_metric = 3
"""
JOINED = [line.split(" = ")[0] for line in PLUGIN.splitlines() if " = Metric(" in line]


def make_site(folder: Path) -> Path:
    """A folder with another package, most of whose metrics are broken."""
    site = folder / "site"
    info = site / "others-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (site / "others.py").write_text(PLUGIN)
    join(site, *JOINED, "no_metric")
    return site


@pytest.fixture
def site(house: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = make_site(house)
    monkeypatch.setenv("PYTHONPATH", str(made))
    return made


def join(site: Path, *names: str) -> None:
    """Has these join, and one that is not there."""
    (site / "others-1.0.dist-info" / "entry_points.txt").write_text(
        "[persona.metrics]\n"
        + "".join(f"{name} = others:{name}\n" for name in names)
        + "absent = nowhere:at_all\n"
    )


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    """What a process says in which that package is installed; once, as one of its metrics hangs."""
    home = tmp_path_factory.mktemp("joined")
    program = (
        "import sys, msgspec\n"
        "from persona.generation.model import Draft, Segment\n"
        "from persona.generation.quality import plugins, score_persona\n"
        "plugins.ANSWER_S = 3.0\n"
        "given = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[Draft, Segment])\n"
        "weights = {'tone': 0.5, 'completeness': 0.5}\n"
        "sys.stdout.buffer.write(msgspec.json.encode(score_persona(*given, weights=weights)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"HOME": str(home), "PYTHONPATH": str(make_site(home))},
        input=msgspec.json.encode([GOOD, SOURCE]).decode(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return Scores(**json.loads(done.stdout))


def test_another_package_joins_a_metric(joined: Scores) -> None:
    assert joined.scores["tone"] == 0.5
    assert joined.scores["completeness"] == 1.0, "a name of ours can't be taken over"
    assert joined.composite == 0.75


def test_a_broken_metric_is_left_out_and_said_and_hurts_no_other(joined: Scores) -> None:
    exactly = {
        "raises": "ZeroDivisionError: no peers",
        "leaves": "SystemExit: enough",
        "above": "it answered 1.01, which is not from 0 to 1",
        "below": "it answered -0.01, which is not from 0 to 1",
        "nan": "it answered nan, which is not from 0 to 1",
        "ends": "its process ended with 3",
        "hangs": "it did not answer within 3 s",
        "nothing": "no tone without a voice",
        "composite": "a metric can't be called so: it is the weighted mean of them all",
    }
    assert {name: joined.reasons[name] for name in exactly} == exactly
    assert joined.reasons["absent"].startswith("ModuleNotFoundError")
    assert "no `name` and `score`" in joined.reasons["no_metric"]
    for name in ("text_value", "no_list", "answers_text"):
        assert joined.reasons[name].startswith("ValidationError")
    assert set(joined.missing) == set(joined.reasons)
    assert set(joined.scores) == {*METRICS, "tone", "prints", "peers"} - {"distinctiveness"}


def test_what_a_metric_says_is_cleaned(joined: Scores) -> None:
    assert list(joined.unsupported) == ["red"]


def asked(plugin: Plugin, peers: tuple[Draft, ...] = ()) -> Score | str:
    return plugin.score(GOOD, SOURCE, peers, Settings())


def test_what_it_prints_is_no_answer(site: Path) -> None:
    plugin = Plugin("prints")
    try:
        assert [asked(plugin), asked(plugin)] == [Score(0.25)] * 2
    finally:
        plugin.stop()


def test_it_knows_the_batchs_others_as_they_are_now(site: Path) -> None:
    plugin, bo, again = Plugin("peers"), OTHER, replace(OTHER, name="Bo again")
    try:
        told = [asked(plugin, peers) for peers in ((), (bo,), (bo, GOOD), (again, GOOD))]
    finally:
        plugin.stop()
    names = [each.notes[0] for each in told if isinstance(each, Score)]
    assert names == ["", "Bo", "Bo Anna", "Bo again Anna"]


def test_one_that_hangs_is_ended_and_after_the_second_time_not_asked_again(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "ANSWER_S", 0.2)
    plugin = Plugin("hangs")
    told = [asked(plugin) for _ in range(3)]
    assert told[:2] == ["it did not answer within 0.2 s"] * 2
    assert told[2] == "it did not answer within 0.2 s; it is not asked again"


def test_one_that_ends_is_started_once_more(site: Path) -> None:
    plugin = Plugin("ends")
    assert [asked(plugin) for _ in range(3)][1:] == [
        "its process ended with 3",
        "its process ended with 3; it is not asked again",
    ]


def test_text_that_cannot_be_sent_costs_one_score(site: Path) -> None:
    plugin = Plugin("tone")
    try:
        odd = plugin.score(replace(GOOD, name="\ud800"), SOURCE, (), Settings())
        assert odd == "the persona has text that can't be written down"
        assert isinstance(asked(plugin), Score)
    finally:
        plugin.stop()


def test_a_hanging_metric_ends_with_the_process_that_asked(site: Path) -> None:
    program = (
        "import os, sys\n"
        "from persona.generation.quality import plugins\n"
        "from persona.generation.quality.metric import Settings\n"
        "plugin = plugins.Plugin('hangs')\n"
        "process = plugin._started()\n"
        "process.stdin.write(sys.stdin.buffer.read() + b'\\n')\n"
        "process.stdin.flush()\n"
        "print(process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    question = apart.Question(persona=GOOD, segment=SOURCE, known=0, more=[], settings=Settings())
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as asking:
        said, _ = asking.communicate(msgspec.json.encode(question), timeout=60)
    assert asking.returncode == -signal.SIGKILL
    # It held the other end of this pipe's standard error; waiting for it needs no clock.
    assert ended(int(said))


def ended(pid: int) -> bool:
    """Whether a process that is nobody's child any more comes to its end."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    import select

    return bool(select.select([descriptor], [], [], WITHIN_S)[0])


def test_a_batch_goes_on_beside_broken_metrics_and_says_what_is_left_out(
    site: Path, studio: Studio
) -> None:
    join(site, "tone", "raises", "nan", "ends")
    started = studio.record(count=3, concurrency=2)
    studio.staged(started.batch).wait(WITHIN_S)

    assert studio.state(started.batch).counts.completed == 3
    scored = [event.scores for event in studio.events(started.batch, "quality.scored")]
    assert all(scores["tone"] == 0.5 for scores in scored)
    assert not any({"raises", "nan", "ends", "absent"} & set(scores) for scores in scored)
    summed_up = json.loads((Path(started.output) / "batch.json").read_bytes())
    told = {(each["metric"], each["reason"]): each["personas"] for each in summed_up["left_out"]}
    assert told["raises", "ZeroDivisionError: no peers"] == 3
    assert told["nan", "it answered nan, which is not from 0 to 1"] == 3
    assert told["ends", "its process ended with 3"] == 2
    assert told["ends", "its process ended with 3; it is not asked again"] == 1
    index = (Path(started.output) / "index.md").read_text()
    assert "- 3 personas have no raises: ZeroDivisionError: no peers" in index
    assert "- 1 persona has no distinctiveness: there is no other persona before it" in index
