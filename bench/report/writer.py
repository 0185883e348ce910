"""Write the report of a run: one self-contained HTML page, answers first, then plots and tables.

The figures are the summaries of run.json as they stand there. Only the paired differences of scores and the curves over
time are taken from the CSV files. What a section shows is built here; how it looks is in templates/report.html.j2.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from markupsafe import Markup

from bench.i18n import language, messages
from bench.i18n.language import gettext, listed, sequence
from bench.measure.spans import PHASES
from bench.pages import charts, elements
from bench.pages.elements import Cell, Plot, Table
from bench.pages.template import template
from bench.report import reliability, summary, timeline
from bench.report.sections import gains, load, privacy, thesis
from bench.results import selection, store
from bench.results.selection import Case, Run, Write, label_of, repeats_of
from bench.stats import formatting, summaries
from bench.stats.summaries import dig, measured

# Points on all curves over time together (about ten bytes each), and rows of a table of losses.
CURVE_POINTS = 60_000

LOSS_ROWS = 40

# Fewer samples than this of every party are no curve.
LEAST_SAMPLES = 3

# Stretches of time that a band of phases is divided into.
STRIP_PARTS = 80


def render(run: Path, lang: str = language.DEFAULT) -> Path:
    """Write the report in a language into the run folder and return its path, that of ``page_path``.

    Raises UserError when the folder is not a run, a file in it is damaged, or the page cannot be written.
    """
    return _write(run, _files(run), lang)


def _files(run: Path) -> tuple[Run, pd.DataFrame, pd.DataFrame, list[dict[str, Any]]]:
    """Read run.json, scores.csv, resources.csv and trace.json.

    A trace of the first schema counts from another zero than its samples, so nothing is taken of it.
    """
    facts = store.load(run)
    events = store.read_events(run) if facts["schema_version"] > 1 else []
    return facts, store.read_csv(run, "scores.csv"), store.read_csv(run, "resources.csv"), events


def _write(run: Path, files: tuple[Run, pd.DataFrame, pd.DataFrame, list[dict[str, Any]]], lang: str) -> Path:
    """Write the page of what was read of a run."""
    with language.spoken(lang):
        html = template("report.html.j2").render(
            contents(*files),
            load=load.section(run),
            run_folder=shlex.quote(str(_near(run))),
            lang=lang,
            html_lang=language.LANGUAGES[lang],
        )
    path = page_path(run, lang)
    store.write_text(path, html)
    return path


def page_path(run: Path, lang: str) -> Path:
    """Return where a run's report in a language is: report.html is the English one, and the others lie beside it."""
    return Path(run) / ("report.html" if lang == language.DEFAULT else f"report.{lang}.html")


def render_all(run: Path, lang: str = language.DEFAULT) -> list[Path]:
    """Write the report in English, in ``lang``, and in each language that the run has one in already, which is old now.

    Raises UserError as ``render`` does.
    """
    due = [each for each in language.LANGUAGES if each in (language.DEFAULT, lang) or page_path(run, each).exists()]
    files = _files(run)
    return [_write(run, files, each) for each in due]


def _near(folder: Path) -> Path:
    """Return the path that a reader would type: from the current folder if it is below, else the absolute one."""
    whole = Path(folder).resolve()
    return whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole


def contents(
    run: Run, scores: pd.DataFrame, resources: pd.DataFrame, events: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Build everything that the template shows, from run.json, scores.csv, resources.csv and trace.json."""
    found = gains.gains(run, scores)
    return {
        "run": {
            "id": run["run_id"],
            "created": _moment(run.get("created")),
            "finished": bool(run.get("finished")),
            "took": _took(run),
        },
        "suite": {
            **{key: dig(run, "suite", key) for key in ("name", "title")},
            "description": messages.say(dig(run, "suite", "description") or ""),
        },
        "first_line": selection.first_line(run),
        "synthetic": any(facts.get("synthetic") for facts in run["datasets"].values()),
        "answer": summary.answer(run, found),
        "trust": reliability.section(run),
        "glance": _glance(run),
        "said": _said(run, scores),
        "privacy": privacy.section(run, scores),
        "gains": gains.section(found),
        "thesis": thesis.section(run, found),
        "parity": _parity(run),
        "accuracy": _accuracy(run, scores),
        "time": _time(run),
        "bytes": _bytes(run),
        "resources": _resources(run, resources, timeline.by_process(events)),
        "convergence": _convergence(run),
        "datasets": [_dataset(facts) for facts in run["datasets"].values()],
        "unfinished": _unfinished(run),
        "notes": [(label_of(case), messages.say(note)) for case in run["cases"] for note in case.get("notes") or []],
        "environment": _environment(run),
        "command": shlex.join(str(word) for word in run.get("command") or []),
        "revision": {key: dig(run, "revision", key) for key in ("commit", "dirty")},
    }


def _moment(written: object) -> str:
    """Write a moment to the minute, with its zone; what is no moment as it stands."""
    try:
        moment = datetime.fromisoformat(str(written))
    except ValueError:
        return "" if written is None else str(written)
    return f"{moment:%Y-%m-%d %H:%M %Z}".strip()


def _took(run: Run) -> str | None:
    """Write how long the run took; None where it is unknown."""
    try:
        begun, ended = (datetime.fromisoformat(str(run.get(key))) for key in ("created", "finished"))
        seconds = round((ended - begun).total_seconds())
    except (ValueError, TypeError):
        return None
    if seconds < 0:  # the clock was set back
        return None
    minutes, rest = divmod(seconds, 60)
    if not minutes:
        return gettext("{n} s", n=rest)
    return gettext("{minutes} min {seconds} s", minutes=formatting.count(minutes), seconds=rest)


def _said(run: Run, scores: pd.DataFrame) -> dict[str, list[str]]:
    """Return the sentences that open the sections on accuracy and on time: the answer's, with all figures."""
    case = selection.headline(run)
    if case is None:
        return {"accuracy": [], "time": []}
    base = selection.baseline(case, run["cases"])
    return {
        "accuracy": [selection.scores_sentence(run, scores, case, base)] if base else [],
        "time": [selection.time_sentence(case, base), selection.parts_sentence(case)],
    }


def _with(run: Run, part: str) -> list[Case]:
    """Return the cases that have something under ``part``."""
    return [case for case in run["cases"] if case.get(part)]


def _glance(run: Run) -> Table:
    """All finished cases in one table: time against centralised, its parts, bytes and AUC."""
    cases = [case for case in run["cases"] if summaries.finished(case)]
    all_parts = [(case, *selection.anatomy(case)) for case in cases]
    write, unit = elements.time_writer(
        summary for case, _, parts in all_parts for summary in (dig(case, "time", "epoch_seconds"), *parts.values())
    )
    write_bytes, bytes_unit = elements.byte_writer(dig(case, "bytes", "epoch_sent") for case in cases)
    rows = [
        [
            Cell(label_of(case)),
            elements.figure(dig(case, "time", "epoch_seconds"), write, elements.absent(case)),
            elements.ratio(case, selection.baseline(case, run["cases"])),
            elements.figure(parts.get("computing"), write, elements.absent(case)),
            *(elements.figure(parts.get(name), write, elements.absent(case)) for name in ("communicating", "waiting")),
            elements.figure(dig(case, "bytes", "epoch_sent"), write_bytes, elements.absent(case)),
            elements.figure(dig(case, "metrics", "auc"), formatting.score)
            if case.get("metrics") or not case.get("models")
            else Cell(gettext("one a party, below")),
        ]
        for case, _, parts in all_parts
    ]
    columns = (
        gettext("Case"),
        gettext("Epoch ({unit})", unit=unit),
        gettext("Times centralised [{confidence} interval]", confidence=formatting.CONFIDENCE),
        gettext("Computing ({unit})", unit=unit),
        gettext("Communicating ({unit})", unit=unit),
        gettext("Waiting ({unit})", unit=unit),
        gettext("Sent per epoch ({unit})", unit=bytes_unit),
        "AUC",
    )
    caption = gettext(
        "Every finished case; median and (below) lowest\N{EN DASH}highest, {repeats}. Where there are "
        "several parties, the epoch and its parts are those of the largest (most training rows). Times centralised is "
        "the geometric mean of the ratios repeat by repeat, with their paired interval; it need not be the ratio of "
        "the medians.",
        repeats=repeats_of(cases),
    )
    return Table(caption, columns, rows)


def _facts(caption: str, facts: Mapping[str, object]) -> Table:
    """Return a table of two columns."""
    return Table(caption, ("", ""), [[Cell(name), elements.text(value)] for name, value in facts.items()])


def _accuracy(run: Run, scores: pd.DataFrame) -> list[Table]:
    """Scores of all models, per class and over both, and the paired differences to centralised."""
    models = [
        (case, model, metrics)
        for case in run["cases"]
        for model, metrics in (case.get("models") or {}).items()
        if metrics
    ]
    if not models:
        return []
    names = _class_names(run)
    spoken_names = {"precision": gettext("Precision"), "recall": gettext("Recall"), "f1": "F1"}
    overall = {key: gettext(name) for key, name in selection.OVERALL.items()}
    headings = {
        f"{name}_{label}": gettext("{score}, {class_name}", score=spoken_names[name], class_name=names[label])
        for label in (0, 1)
        for name in selection.PER_CLASS
    }
    rows = [(_model_label(case, model), metrics) for case, model, metrics in models]
    repeats = repeats_of(case for case, _, _ in models)
    tables = [
        _score_table(
            gettext(
                "Scores over both classes, on the common test set; "
                "median and (below) lowest\N{EN DASH}highest, {repeats}",
                repeats=repeats,
            ),
            overall,
            rows,
            formatting.score,
        ),
        _score_table(
            gettext("Scores per class; median and (below) lowest\N{EN DASH}highest, {repeats}", repeats=repeats),
            headings,
            rows,
            formatting.score,
        ),
    ]
    gaps = [
        (_model_label(case, model), metrics)
        for case in run["cases"]
        if (base := selection.baseline(case, run["cases"])) is not None and base is not case
        for model, metrics in selection.paired_differences(scores, case, base).items()
    ]
    if gaps:
        over_both = gettext(
            "Difference to centralised (over both classes), each repeat against centralised in the same repeat; "
            "median and (below) lowest\N{EN DASH}highest, {repeats}. Of log loss, less is better",
            repeats=repeats,
        )
        per_class = gettext(
            "Difference to centralised (per class), each repeat against centralised in the same repeat; "
            "median and (below) lowest\N{EN DASH}highest, {repeats}",
            repeats=repeats,
        )
        tables.append(_score_table(over_both, overall, gaps, formatting.difference))
        tables.append(_score_table(per_class, headings, gaps, formatting.difference))
    return tables


def _parity(run: Run) -> Plot | None:
    """Draw the AUC of every case less that of centralised on the same rows, repeat by repeat."""
    rows = []
    for case in run["cases"]:
        base = selection.baseline(case, run["cases"])
        if base is None or base is case or not summaries.finished(case):
            continue
        relation = selection.relate_scores(run, case, base, "auc")
        if relation is None:
            continue
        kind = {1: "higher", -1: "lower", 0: "unsure"}[relation.sign]
        rows.append(
            charts.Interval(
                label_of(case), relation.estimate, relation.low, relation.high, kind, elements.gap(relation)
            )
        )
    if not any(row.estimate is not None for row in rows):
        return None
    title = gettext("AUC less that of centralised on the same rows")
    caption = gettext(
        "{title}, repeat by repeat: the mean of the differences with its {confidence} interval, {repeats}.",
        title=title,
        confidence=formatting.CONFIDENCE,
        repeats=repeats_of(run["cases"]),
    )
    return Plot(charts.differences(rows, title, gettext("Difference of AUC")), caption)


def _score_table(caption: str, headings: Mapping[str, str], rows: Sequence[tuple[str, Any]], write: Write) -> Table:
    body = [[Cell(label), *(elements.figure(metrics.get(key), write) for key in headings)] for label, metrics in rows]
    return Table(caption, (gettext("Model"), *headings.values()), body)


def _model_label(case: Case, model: str) -> str:
    """Name a model: by its case, and by the party where a case has several."""
    if selection.model_of(case) == model:
        return label_of(case)
    return gettext("{case}: {model}", case=label_of(case), model=model)


def _class_names(run: Run) -> tuple[str, str]:
    """Name the classes; datasets with different classes share a table under their numbers."""
    names = {tuple(str(name) for name in facts.get("class_names") or ()) for facts in run["datasets"].values()}
    only = names.pop() if len(names) == 1 else ()
    return (only[0], only[1]) if len(only) == 2 else (gettext("class 0"), gettext("class 1"))


def _parties(case: Case, part: str) -> dict[str, Any]:
    """Return ``by_party`` of a part of a case, without parties that have nothing there."""
    return {party: facts for party, facts in (dig(case, part, "by_party") or {}).items() if facts}


def _phase_cell(facts: Mapping[str, Any], phase: str, write: Write) -> Cell:
    """Return a phase's cell; a phase that a measured process never entered is none, not a gap."""
    phases = facts.get("phases") or {}
    return Cell(gettext(elements.NONE)) if phases and phase not in phases else elements.figure(phases.get(phase), write)


def _time(run: Run) -> dict[str, Any]:
    """Time per epoch by phase and party, and the times of whole cases."""
    cases = _with(run, "time")
    rows = [(case, party, facts) for case in cases for party, facts in _parties(case, "time").items()]
    write, unit = elements.time_writer(facts.get("epoch_seconds") for _, _, facts in rows)
    phases = [name for name in PHASES if any(dig(facts, "phases", name) for _, _, facts in rows)]
    body = [
        (
            case,
            [
                Cell(party),
                elements.figure(facts.get("epoch_seconds"), write),
                *(_phase_cell(facts, name, write) for name in phases),
                elements.figure(facts.get("cpu_seconds"), write),
            ],
        )
        for case, party, facts in rows
    ]
    columns = (
        gettext("Party"),
        gettext("Epoch ({unit})", unit=unit),
        *(gettext("{phase} ({unit})", phase=messages.say(name).capitalize(), unit=unit) for name in phases),
        f"CPU ({unit})",
    )
    spoken = gettext(
        "{repeats}; a repeat counts with its epochs after the warm-up (docs/results.md)", repeats=repeats_of(cases)
    )
    caption = gettext(
        "Time per epoch by party and phase; median and (below) lowest\N{EN DASH}highest, {repeats}", repeats=spoken
    )
    title = gettext("Time per epoch, by phase and party")
    return {
        "plot": elements.phase_plot(rows, title, unit, write, spoken) if rows else None,
        "table": Table(caption, columns, elements.by_case(body)) if rows else None,
        "whole": _whole_cases(cases) if cases else None,
        "stages": _stages(cases),
    }


def _whole_cases(cases: Sequence[Case]) -> Table:
    """Show the times of whole cases: start-up, training, epochs."""
    keys = ("startup_seconds", "training_seconds")
    write, unit = elements.time_writer(dig(case, "time", key) for case in cases for key in keys)
    rows = []
    for case in cases:
        _, share = selection.least_attributed(case)
        largest = dig(case, "time", "critical_party") if case.get("network") != "none" else ""
        rows.append(
            [
                Cell(label_of(case)),
                *(elements.figure(dig(case, "time", key), write) for key in keys),
                Cell(_epochs_run(case)),
                Cell(gettext(elements.NONE))
                if elements.without_epochs(case)
                else elements.text(case.get("warmup_epochs")),
                elements.figure(
                    share,
                    formatting.percent,
                    elements.NONE if elements.without_epochs(case) else formatting.NOT_MEASURED,
                ),
                elements.text(largest),
            ]
        )
    columns = (
        gettext("Case"),
        gettext("Start-up ({unit})", unit=unit),
        gettext("Training ({unit})", unit=unit),
        gettext("Epochs run"),
        gettext("Of them warm-up"),
        gettext("Epoch in named phases (the party with the least)"),
        gettext("Largest party (most training rows)"),
    )
    return Table(gettext("Whole cases; {repeats}", repeats=repeats_of(cases)), columns, rows, columns[-1:])


def _stages(cases: Sequence[Case]) -> Table | None:
    """Show where the jobs of a platform spent their time, epochs and all the rest; None where there was no platform."""
    with_stages = [case for case in cases if dig(case, "time", "stages")]
    names = list(dict.fromkeys(name for case in with_stages for name in case["time"]["stages"]))
    rows = [
        [
            Cell(messages.say(name)),
            *(
                elements.figure(dig(case, "time", "stages", name), formatting.number, elements.NONE)
                for case in with_stages
            ),
        ]
        for name in names
    ]
    wholes = [
        summaries.add_up([summary for summary in case["time"]["stages"].values() if summary]) for case in with_stages
    ]
    rows.append([Cell(gettext("all")), *(elements.figure(whole, formatting.number) for whole in wholes)])
    columns = (gettext("Stage"), *(f"{label_of(case)} (s)" for case in with_stages))
    caption = gettext(
        "Where the whole job's time went, platform and epochs, seen from the guest; {repeats}",
        repeats=repeats_of(with_stages),
    )
    return Table(caption, columns, rows) if with_stages else None


def _epochs_run(case: Case) -> str:
    """Write how many epochs the repeats took; one number where all took as many."""
    if elements.without_epochs(case):
        return gettext("no epochs")
    return listed(str(n) for n in dict.fromkeys(case.get("epochs_run") or [])) or gettext(formatting.NOT_MEASURED)


def _bytes(run: Run) -> dict[str, Any]:
    """Bytes each way, by party and for all parties together."""
    cases = _with(run, "bytes")
    rows = []
    for case in cases:
        rows += [(case, party, facts, False) for party, facts in _parties(case, "bytes").items()]
        rows.append((case, gettext("all parties, without the arbiter"), case["bytes"], True))
    write, unit = elements.byte_writer(
        facts.get(f"epoch_{way}") for *_, facts, _ in rows for way in ("sent", "received")
    )
    body = []
    for case, party, facts, whole in rows:
        wire = (facts.get("wire") or {}) if whole else None
        cells = [elements.figure(facts.get(f"epoch_{way}"), write) for way in ("sent", "received")]
        cells += [
            elements.figure(wire.get(way), formatting.size) if wire is not None else Cell("")
            for way in ("sent", "received")
        ]
        body.append((case, [Cell(party), *cells]))
    bars = [
        charts.Bar(
            party,
            [
                charts.Segment(way, name, dig(measured(facts.get(f"epoch_{way}")), "median") or 0)
                for way, name in (("sent", gettext("sent")), ("received", gettext("received")))
            ],
            _both_ways(facts, write, unit),
            label_of(case),
        )
        for case, party, facts, whole in rows
        if not whole
    ]
    title = gettext("Bytes per epoch and party, sent and received")
    columns = (
        gettext("Party"),
        gettext("Sent per epoch ({unit})", unit=unit),
        gettext("Received per epoch ({unit})", unit=unit),
        gettext("Sent, carried by the sockets in the whole case"),
        gettext("Received, carried by the sockets in the whole case"),
    )
    repeats = repeats_of(cases)
    caption = gettext(
        "Bytes; kB and MB are 1,000 and 1,000,000 bytes. Per epoch they are those of the messages; in the whole case, "
        "those carried by the sockets (HTTP/2 framing included, TCP/IP headers not); {repeats}",
        repeats=repeats,
    )
    below = gettext("{title}, in {unit}; medians, {repeats}.", title=title, unit=unit, repeats=repeats)
    return {
        "plot": Plot(charts.stacked_bars(bars, title, write), below) if bars else None,
        "table": Table(caption, columns, elements.by_case(body)) if rows else None,
    }


def _both_ways(facts: Mapping[str, Any], write: Write, unit: str) -> str:
    """Write bytes sent + received of a party."""
    total = summaries.add_up([facts.get("epoch_sent"), facts.get("epoch_received")])
    return f"{write(total['median'])}{formatting.SPACE}{unit}" if total else gettext(formatting.NOT_MEASURED)


def _resources(run: Run, samples: pd.DataFrame, events: timeline.Events) -> dict[str, Any]:
    """CPU and memory of every party: a table, and curves over time."""
    cases = _with(run, "resources")
    rows = [
        (
            case,
            [
                Cell(party),
                *(
                    elements.figure(
                        facts.get(key),
                        formatting.number,
                        elements.NONE if elements.without_epochs(case) else formatting.NOT_MEASURED,
                    )
                    for key in ("cpu_percent", "cpu_seconds")
                ),
                *(
                    elements.figure(facts.get(key), lambda value: formatting.number(value / 1e6))
                    for key in ("rss_peak_bytes", "uss_peak_bytes")
                ),
            ],
        )
        for case in cases
        for party, facts in _parties(case, "resources").items()
    ]
    columns = (
        gettext("Party"),
        gettext("CPU, mean over the epochs ({unit} of one core)", unit="%"),
        gettext("CPU time, all epochs (s)"),
        gettext("Peak memory, resident (MB)"),
        gettext("Peak memory, unshared (MB)"),
    )
    caption = gettext(
        "CPU (without the set-up) and memory of every party's processes; "
        "median and (below) lowest\N{EN DASH}highest, {repeats}",
        repeats=repeats_of(cases),
    )
    return {
        "table": Table(caption, columns, elements.by_case(rows)) if rows else None,
        **_over_time(run, samples, events),
    }


def _over_time(run: Run, samples: pd.DataFrame, events: timeline.Events) -> dict[str, Any]:
    """Draw CPU and memory over time for the first repeat of every case that has samples, with the phases over them."""
    samples = samples[samples["party"].notna() & (samples["party"] != "")]
    points = max(20, min(200, CURVE_POINTS // max(1, 2 * samples[["case", "party"]].drop_duplicates().shape[0])))
    plots, rows, short = [], [], []
    for case in run["cases"]:
        mine = samples[samples["case"] == case["id"]]
        if mine.empty:
            continue
        repeat = int(mine["repeat"].min())
        mine = mine[mine["repeat"] == repeat]
        span = (float(mine["t"].min()), max(float(mine["t"].max()), timeline.end(run, case, events, repeat)))
        line = timeline.timeline(run, case, events, repeat, *span, STRIP_PARTS)
        drawn = _curves(case, mine, points, line, span)
        plots += drawn
        short += [] if drawn else [label_of(case)]
        if line:
            moments = [elements.seconds(moment) for moment in (line.setup, line.begun, line.ended, span[1])]
            rows.append([Cell(label_of(case)), Cell(line.party), *moments])
    columns = (
        gettext("Case"),
        gettext("Party"),
        gettext("Set-up from (s)"),
        gettext("Epochs from (s)"),
        gettext("Epochs until (s)"),
        gettext("End of the plot (s)"),
    )
    caption = gettext("When it was, in seconds since the start of the first repeat (n = 1); the largest party")
    return {
        "plots": plots,
        "short": gettext("Over before there were {n} samples to draw: {cases}.", n=LEAST_SAMPLES, cases=sequence(short))
        if short
        else None,
        "moments": Table(caption, columns, rows, columns[1:2]) if rows else None,
    }


def _curves(
    case: Case, samples: pd.DataFrame, points: int, line: timeline.Timeline | None, span: tuple[float, float]
) -> list[Plot]:
    """Draw the CPU and the memory of a case's parties in one repeat, where there are samples enough for a curve."""
    repeat = int(samples["repeat"].min())
    band, note = Markup(""), ""
    if line:
        title = gettext("{case}: phases of {party} over time", case=label_of(case), party=line.party)
        band = charts.strip(line.shares, {phase: messages.say(phase) for phase in PHASES}, title)
        note = gettext(
            "Above: what {party}, the largest party, did in each stretch of time; white is outside the epochs.",
            party=line.party,
        )
    plots = []
    for column, factor, name, keep in (
        ("cpu_percent", 1.0, gettext("CPU ({unit} of one core)", unit="%"), fmean),
        ("rss", 1e-6, gettext("Resident memory (MB)"), max),
    ):
        lines = []
        for party, rows in samples.groupby("party", sort=False):
            known = rows[["t", column]].dropna()
            x = charts.thin(list(known["t"]), points, min)
            y = charts.thin(list(known[column] * factor), points, keep)
            lines.append(charts.Line(str(party), x, y))
        title = gettext("{case}: {quantity} over time", case=label_of(case), quantity=name)
        if not any(len(each.x) >= LEAST_SAMPLES for each in lines):
            continue
        drawing = charts.line_plot(lines, title, gettext("Seconds since the start"), name, above=band, x_range=span)
        if drawing:
            caption = gettext("{title}, one repeat (n = 1, repeat {repeat}).", title=title, repeat=repeat)
            plots.append(Plot(drawing, f"{caption} {note}".strip()))
    return plots


def _convergence(run: Run) -> dict[str, Any] | None:
    """Training loss against passes over the data."""
    lines = []
    for case in run["cases"]:
        step = dig(case, "training", "local_epochs") or 1
        points = [(i * step, loss) for i, loss in enumerate(case.get("loss") or []) if loss is not None]
        if points:
            last = gettext("last {loss}", loss=formatting.number(points[-1][1], 4))
            lines.append(charts.Line(label_of(case), [x for x, _ in points], [y for _, y in points], last))
    if not lines:
        return None
    passes = sorted({x for line in lines for x in line.x})
    shown = sorted({*charts.thin(passes, LOSS_ROWS, min), passes[-1]})
    columns = [dict(zip(line.x, line.y, strict=True)) for line in lines]
    rows = [[Cell(formatting.count(x)), *(_loss_cell(column.get(x)) for column in columns)] for x in shown]
    title = gettext("Training loss against passes over the data")
    x_label, y_label = gettext("Passes over the data done"), gettext("Training loss")
    over_table = (
        gettext("{title} (every {n} passes); first repeat (n = 1)", title=title, n=-(-len(passes) // LOSS_ROWS))
        if len(passes) > LOSS_ROWS
        else gettext("{title}; first repeat (n = 1)", title=title)
    )
    return {
        "plot": Plot(
            charts.line_plot(lines, title, x_label, y_label, from_zero=False),
            gettext("{title}, with the weights that the epoch began with; first repeat (n = 1).", title=title),
        ),
        "table": Table(over_table, (gettext("Passes"), *(line.name for line in lines)), rows),
    }


def _loss_cell(loss: float | None) -> Cell:
    return Cell("") if loss is None else Cell(formatting.number(loss, 5), "", loss)


def _dataset(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the data: where it comes from, what each preparation step left, how it was split."""
    steps = facts.get("funnel") or []
    title = gettext("Rows left after each preparation step")
    bars = [
        (
            messages.say(step.get("step")),
            step["rows"],
            gettext(
                "{rows} rows, {columns} columns",
                rows=formatting.count(step["rows"]),
                columns=elements.count(step.get("columns")).text,
            ),
        )
        for step in steps
        if step.get("rows") is not None
    ]
    body = [
        [
            elements.text(step.get("step") and messages.say(step["step"])),
            elements.count(step.get("rows")),
            elements.count(step.get("columns")),
            Cell(messages.say(step.get("note") or "")),
        ]
        for step in steps
    ]
    names = [str(name) for name in facts.get("class_names") or (gettext("class 0"), gettext("class 1"))]
    shape = [elements.count(facts.get(key)).text for key in ("rows", "features")]
    classes = _classes(facts.get("class_counts"), names)
    columns = (gettext("Step"), gettext("Rows"), gettext("Columns"), gettext("Note"))
    return {
        "title": messages.say(facts.get("title") or facts.get("name") or ""),
        "source": messages.say(facts.get("source") or ""),
        "synthetic": bool(facts.get("synthetic")),
        "shape": gettext(
            "{rows} rows of {features} features; {classes}", rows=shape[0], features=shape[1], classes=classes
        ),
        "funnel": Plot(charts.bar_list(bars, title), gettext("{title} (n = 1 file).", title=title)) if bars else None,
        "funnel_table": Table(title, columns, body, columns[-1:]) if steps else None,
        "splits": [_split(name, split, names) for name, split in (facts.get("splits") or {}).items() if split],
    }


def _classes(counts: Any, names: Sequence[str]) -> str:
    """Write class counts with their shares."""
    if not counts:
        return gettext(formatting.NOT_MEASURED)
    total = sum(counts)
    shares = [
        gettext(
            "{n} {class_name} ({share})", n=formatting.count(n), class_name=name, share=formatting.percent(n / total)
        )
        for n, name in zip(counts, names, strict=False)
        if total
    ]
    return listed(shares) or gettext("no rows")


def _split(name: str, split: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """How the rows were split, with the classes of every party before and after balancing."""
    bars, rows = [], []
    for party in split.get("parties") or []:
        label = f"{party['party']}/{party['role']}"
        cells = [Cell(label)]
        for state, suffix in ((gettext("{what}, before"), "_before_balance"), (gettext("{what}, after"), "")):
            counts = party.get(f"class_counts{suffix}") or [None, None]
            for n in (party.get(f"rows{suffix}"), *counts):
                cells.append(elements.count(n))
            segments = [charts.Segment(f"class{i}", names[i], n) for i, n in enumerate(counts) if n is not None]
            bars.append(charts.Bar(state.format(what=label), segments, elements.count(party.get(f"rows{suffix}")).text))
        rows.append(cells)
    title = gettext("Training rows of each party by class, before and after balancing")
    caption = gettext("{title}; repeat 1; every repeat draws its own split", title=title)
    parts = (gettext("Rows"), *names)
    columns = (
        gettext("Party"),
        *(gettext("{what} before", what=part) for part in parts),
        *(gettext("{what} after", what=part) for part in parts),
    )
    train, test = (elements.count(split.get(key)).text for key in ("train_rows", "test_rows"))
    return {
        "name": messages.say(name),
        "text": gettext(
            "In repeat 1: {train} rows for training before balancing, {test} rows for the common test "
            "({classes}), which is never balanced.",
            train=train,
            test=test,
            classes=_classes(split.get("test_class_counts"), names),
        ),
        "plot": Plot(charts.stacked_bars(bars, title, formatting.count), gettext("{sentence}.", sentence=caption))
        if bars
        else None,
        "table": Table(caption, columns, rows) if rows else None,
    }


def _unfinished(run: Run) -> Table | None:
    """List the cases without a result, and why."""
    rows = [
        [
            Cell(str(case.get("title") or case["id"])),
            elements.text(case.get("status") and messages.say(case["status"])),
            Cell(gettext("{n} of {all}", n=len(case.get("repeats_done") or []), all=case.get("repeats"))),
            Cell(_why(case)),
        ]
        for case in run["cases"]
        if not summaries.finished(case)
    ]
    columns = (gettext("Case"), gettext("Status"), gettext("Repeats done"), gettext("Why"))
    caption = gettext("Cases that failed, were skipped or are pending")
    return Table(caption, columns, rows, columns[1::2]) if rows else None


def _why(case: Case) -> str:
    """Say why a case has no result; errors are shown as they were recorded."""
    if case.get("status") == "pending":
        return gettext("not run yet")
    return str(case.get("error") or gettext("no reason recorded"))


def _environment(run: Run) -> Table:
    """List what the run was measured on."""
    facts = run["environment"] or {}
    logical, physical = (elements.text(facts.get(f"cores_{kind}")).text for kind in ("logical", "physical"))
    memory = facts.get("memory_bytes")
    packages = facts.get("packages") or {}
    return _facts(
        gettext("Environment"),
        {
            "CPU": facts.get("cpu"),
            gettext("Cores, logical and physical"): gettext(
                "{logical} and {physical}", logical=logical, physical=physical
            ),
            gettext("Memory"): None if memory is None else f"{memory / 1e9:.1f} GB",
            gettext("Operating system"): facts.get("os"),
            gettext("Kernel"): facts.get("kernel"),
            gettext("Virtualisation"): _yes_or_no(facts.get("virtualised")),
            gettext("CPU governor"): facts.get("cpu_governor"),
            "Python": facts.get("python"),
            gettext("Threads per process"): facts.get("threads_per_process"),
            gettext("Packages"): listed(f"{name} {version}" for name, version in packages.items()) or None,
        },
    )


def _yes_or_no(value: object) -> object:
    return (gettext("yes") if value else gettext("no")) if isinstance(value, bool) else value
