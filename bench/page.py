"""A run as the page `docs/performance.md`."""

from persona.render.markdown import escape, render
from persona.render.tables import Table

from .registry import MEASUREMENTS
from .report import COLUMNS, Report

_HEAD = """\
# Speed and size

<!-- Made by `python -m bench --page docs/performance.md`; change `bench/page.py`. -->

`make bench` measures what the project promises to be fast and small. It prints each figure beside
its limit and beside a *peer*: what does the same, or the least that has to be done, measured on the
same machine in the same run. It ends with 1 where a figure is not within its limit.

```
python -m bench                       # all of it, in about forty minutes
python -m bench startup watching      # only what is named; --list says what there is
python -m bench --json run.json       # a document too
python -m bench --patience 300        # before each, wait for the machine to be quiet
```

Most of the time goes into a ledger of ten million events, which is made once, and of which `large`
and `asking` have a copy each: some 6 GB in the temporary folder; `rebuilding` makes one of two
million, unless a cache keeps the large one. `PERSONA_BENCH_EVENTS=100_000` makes
it smaller, and `PERSONA_BENCH_CACHE=FOLDER` keeps it there until the code that makes it changes.

Every measurement has a temporary home, ledger and daemon of its own and sees nothing of your
environment. The machine should be otherwise idle: the head tells its load before the run, and above
0.5 the figures say more about its other work. It needs Linux, for `/proc`.

"""

_MEANINGS = {
    "startup": "From spawning a command to its end, as a ratio to `python -c 'import click'`. All "
    "are run in turn, in an order drawn anew for each round; the ratio is of medians, its interval "
    "a bootstrap over rounds (95 %). The ledger has fifty batches and a running daemon; a table "
    "is drawn with rich on a terminal, and as plain text into a pipe.",
    "watching": "From before an append to the moment at which a watcher's `Watch` has the new "
    "state, in ten processes at once, by the clock that they share. What a screen then draws is "
    "not in it. The peer commits a bare row and publishes a frame of the same size. Between two "
    "appends lie 1 to 5 ms, as in a busy run; with 5 to 25 ms between them the median was 2.0 ms "
    "on the same machine, and the peer's 1.1 ms: an idle core has to be woken.",
    "reading": "`persona generate` with the provider `local`, from its start to its end: reading, "
    "redacting and segmenting (in the command; its runner takes the plan over), writing and "
    "recording. Memory is the peak resident size. With ten times the files, memory must grow less "
    "than ten times, also when what a single file takes is left out.",
    "running": "A batch on the provider `simulated`, whose calls take one second: from "
    "`batch.started` to `batch.finished` by the daemon's clock; the runner's own start is in it.",
    "scoring": "A thousand personas of one batch, each with a source of 24 sentences of its own, "
    "scored one after the other by all five metrics, as the runner does it; then ten thousand; "
    "then each of the ten that `local` makes of the examples. The peer only counts the words that "
    "each two have in common.",
    "hosted": "A thousand personas from a server of OpenAI's kind on this machine, 64 at a time, "
    "streamed in 24 messages over two seconds. The ideal is as many rounds of the fastest call as "
    "that takes. Time on a core is the runner's alone, user and system, all threads. Then a pause "
    "in the middle, and a resume of the rest, by the daemon's clock.",
    "ready": "From spawning a daemon to its first answer to `hello`: on a new ledger, and on one "
    "that was killed with events in it. The command `personad start` takes longer, because it is a "
    "Python program, too.",
    "size": "Resident memory: at rest, and after appends of usual and of the largest size.",
    "idle": "Time on a core, user and system, all threads, over a minute in which nothing happens.",
    "ingest": "Events acknowledged, that is on disk and folded into every table, as a share of "
    "what a bare loop inserts that has the same rows ready, into one table with the same unique "
    "index, as durably, 1,000 a commit. That loop is the limit: nothing that keeps these rows on "
    "this machine is faster. Ours get them over a socket, as bytes. The peers have the same bytes "
    "ready in their own process and commit as many at once; but the service without projections "
    "begins with a request's bytes, and `eventsourcing, from an event` with that package's event "
    "objects. The ledger's log alone is the ledger's own code on those terms, without sockets and "
    "projections. Rounds of ours and theirs take turns, with that loop before and after ours; of "
    "ours the first fifth is left out, in which a daemon that is sent much begins the process that "
    "helps it. One event a request is measured in multiples of the median commit of one row. And "
    "what an event takes on disk with everything that is folded from it.",
    "large": "A ledger of 90 days with 10,000 experiments and 100,000 batches of personas, made "
    "before by the daemon's own transactions; one of 100,000 events beside it. Its size with all "
    "indexes and folds against the same events as JSON lines; from spawning a daemon to its first "
    "answer, after a clean stop and after SIGKILL; and the daemon's resident memory at rest, and "
    "at its peak while two producers send all they can, with the process that prepares appends.",
    "viewing": "CPU time of `persona batch watch` on a terminal over the time that passes, while a "
    "batch goes on in a real daemon; beside it what rich's own Live takes to draw the same frames.",
    "estimating": "Batches are simulated as durations of three shapes (lognormal; bimodal, three "
    "in ten five times as long; drifting to twice as long) with a concurrency of 1, 4 and 16, and "
    "at equal intervals after the first tenth the daemon's own estimate is made. The figure is the "
    "share of these whose range, low to high, held the actual finish; none had earlier batches to "
    "go by.",
    "asking": "Every question about costs and quality in turn, over thirty days that begin on "
    "another day each time, from the client's call to its typed reply. Each figure is that of the "
    "slowest question. Growth compares medians with those on a ledger of 100,000 events.",
    "noise": "As `deciding`, on the machine as it is, with whatever runs beside it: pairs are run "
    "in blocks, each by two new processes on one core, as `persona benchmark compare --against` "
    "does, and each comparison draws its blocks from them; a slower version is one that does more "
    "of the same.",
    "micro": "`persona benchmark run --suite micro`, told here: single parts, in processes of "
    "their own, from raw samples.",
    "load": "`persona benchmark run --suite integration`, told here: users of locust append, ask "
    "and watch; the lag is that of a small question asked every 10 ms beside them. Locust takes "
    "one of the two cores.",
    "deciding": "Comparisons on a simulated shared machine (times are skewed, drift for minutes, "
    "are disturbed now and then, and every process has its luck), from fixed seeds: `benchmark "
    "compare --against` in pairs, `compare` with a kept run, and the change points of `trends`. "
    "`persona benchmark calibrate` says the same of the machine that it runs on.",
    "exporting": "`persona cost export --format jsonl` of half a million costs, from the command's "
    "start to its end; the peer reads the same rows from the disk and writes them as JSON, without "
    "a daemon, a filter, or a look at what counts.",
    "rebuilding": "`personad rebuild` of every table from its start to its end, while the same "
    "questions are asked; the slowest answer of all counts. The peer only reads and decodes.",
    "upkeep": "Single events are appended one after the other, and 400 together now and then, "
    "while a ledger of a million events is rebuilt, and while retention drops two thirds of it; "
    "the slowest answer of all counts. The peer is the slowest with nothing else to do.",
}


_BUSY = 0.5


def page(report: Report) -> str:
    """The whole page, with the machine, the table and what each measurement means."""
    where = report.machine
    machine = ", ".join(f"{name} {getattr(where, name)}" for name in where.__struct_fields__)
    noise = (
        " The machine was at other work meanwhile, so times are longer than they need be, and "
        "ratios less sure."
        if where.load > _BUSY
        else ""
    )
    meanings = "".join(
        f"**{name}**: {MEASUREMENTS[name].question} {meaning}\n\n"
        for name, meaning in _MEANINGS.items()
    )
    return (
        f"{_HEAD}## The last run\n\n"
        f"{report.began_at:%F %R} UTC, {report.took_s:.0f} s, on: {escape(machine)}.{noise}\n\n"
        f"{render((Table(COLUMNS, report.figures),))}\n"
        f"## What they mean\n\n{meanings.rstrip()}\n"
    )
