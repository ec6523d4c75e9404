"""The process in which one metric of another package runs, apart from what it could hurt.

    python -P -m persona.generation.quality.plugin_process NAME

A line of JSON in is a question, a line out its answer. It ends when its input does, whatever the
metric is doing at that time; what the metric prints goes to the standard error.
"""

import os
import queue
import sys
import threading
from importlib.metadata import entry_points
from typing import BinaryIO

import msgspec

from persona.generation.model import Draft, Segment
from persona.generation.quality.metric import (
    GROUP,
    Metric,
    NotMeasurable,
    Score,
)
from persona.generation.quality.plugin_wire import Answer, Question


def main(name: str) -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_hear, args=(sys.stdin.buffer, asked), daemon=True).start()
    decoder = msgspec.json.Decoder(Question)
    metric, answer = _loaded(name)
    _tell(answers, answer)
    peers: list[Draft] = []
    segment: Segment | None = None
    while metric is not None:
        question = decoder.decode(asked.get())
        peers = peers[: question.known] + question.more
        segment = question.segment or segment
        assert segment is not None
        _tell(answers, _measured(metric, question, segment, peers))
    # A thread still reads; an ordinary end would wait for it.
    os._exit(0)


def _hear(questions: BinaryIO, asked: "queue.SimpleQueue[bytes]") -> None:
    for line in questions:
        asked.put(line)
    # Nobody waits for an answer any more, even where the metric never comes to an end.
    os._exit(0)


def _tell(answers: BinaryIO, answer: Answer) -> None:
    answers.write(msgspec.json.encode(answer) + b"\n")
    answers.flush()


def _loaded(name: str) -> tuple[Metric | None, Answer]:
    try:
        (point,) = (point for point in entry_points(group=GROUP) if point.name == name)
        metric = point.load()
        if not isinstance(metric, Metric):
            raise TypeError(f"{point.value} has no `name` and `score`")
    except BaseException as error:  # noqa: BLE001 - another's code; the reason is reported
        return None, Answer(reason=_said(error))
    return metric, Answer()


def _measured(metric: Metric, question: Question, segment: Segment, peers: list[Draft]) -> Answer:
    try:
        given = metric.score(question.persona, segment, tuple(peers), question.settings)
        score = msgspec.convert(msgspec.to_builtins(given), Score)
    except NotMeasurable as nothing:
        return Answer(reason=str(nothing))
    except BaseException as error:  # noqa: BLE001 - another's code; the reason is reported
        return Answer(reason=_said(error))
    if not 0 <= score.value <= 1:
        return Answer(reason=f"it answered {score.value!r}, which is not from 0 to 1")
    return Answer(score=score)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main(sys.argv[1])
