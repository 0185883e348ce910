"""Write the report of a run: one self-contained HTML page, answers first, then plots and tables.

The figures are the summaries of run.json as they stand there. Only the paired differences of scores and the curves over
time are taken from the CSV files. What a section shows is built here; how it looks is in templates/report.html.j2.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import jinja2
import pandas as pd

from bench import charts, command, figures, findings, gains_page, page, privacy_page, results
from bench.errors import UserError
from bench.figures import dig, measured
from bench.findings import Case, Run, Write, label_of, repeats_of
from bench.measure.trace import PHASES
from bench.page import Cell, Plot, Table

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"

# Points on all curves over time together (about ten bytes each), and rows of a table of losses.
CURVE_POINTS = 60_000
LOSS_ROWS = 40


def render(run: Path) -> Path:
    """Write ``report.html`` into the run folder and return its path.

    Raises UserError when the folder is not a run, a file in it is damaged, or the page cannot be written.
    """
    html = template("report.html.j2").render(
        _contents(
            results.load(run),
            results.read_csv(run, "scores.csv"),
            results.read_csv(run, "resources.csv"),
        ),
        run_folder=shlex.quote(str(_near(run))),
    )
    path = Path(run) / "report.html"
    results.write_text(path, html)
    return path


def template(name: str) -> jinja2.Template:
    """Return the page template of this name; UserError where it is not there."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    try:
        return environment.get_template(name)
    except jinja2.TemplateNotFound as error:
        raise UserError(f"{TEMPLATES / name}: not found; run from a complete checkout of the kit") from error


def _near(folder: Path) -> Path:
    """Return the path that a reader would type: from the current folder if it is below, else the absolute one."""
    whole = Path(folder).resolve()
    return whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole


def _contents(run: Run, scores: pd.DataFrame, resources: pd.DataFrame) -> dict[str, Any]:
    """Build everything that the template shows."""
    gains = gains_page.gains(run, scores)
    said = (privacy_page.sentence(run), gains_page.sentence(gains))
    return {
        "run": {
            "id": run["run_id"],
            **{key: str(run.get(key) or "").replace("T", " ") for key in ("created", "finished")},
        },
        "suite": {key: dig(run, "suite", key) for key in ("name", "title", "description")},
        "first_line": findings.first_line(run),
        "answer": [*findings.answer(run, scores), *(sentence for sentence in said if sentence)],
        "glance": _glance(run),
        "concerns": findings.concerns(run),
        "trust": _trust(run),
        "privacy": privacy_page.section(run, scores),
        "gains": gains_page.section(gains),
        "accuracy": _accuracy(run, scores),
        "time": _time(run),
        "bytes": _bytes(run),
        "resources": _resources(run, resources),
        "convergence": _convergence(run),
        "datasets": [_dataset(facts) for facts in run["datasets"].values()],
        "unfinished": _unfinished(run),
        "notes": [(label_of(case), note) for case in run["cases"] for note in case.get("notes") or []],
        "environment": _environment(run),
        "command": shlex.join(str(word) for word in run.get("command") or []),
        "revision": {key: dig(run, "revision", key) for key in ("commit", "dirty")},
    }


# Words and cells


def _with(run: Run, part: str) -> list[Case]:
    """Return the cases that have something under ``part``."""
    return [case for case in run["cases"] if case.get(part)]


def _glance(run: Run) -> Table:
    """All finished cases in one table: time against centralised, its parts, bytes and AUC."""
    cases = [case for case in run["cases"] if figures.finished(case)]
    all_parts = [(case, *findings.anatomy(case)) for case in cases]
    write, unit = page.time_writer(
        summary for case, _, parts in all_parts for summary in (dig(case, "time", "epoch_seconds"), *parts.values())
    )
    write_bytes, bytes_unit = page.byte_writer(dig(case, "bytes", "epoch_sent") for case in cases)
    rows = [
        [
            Cell(label_of(case)),
            page.figure(dig(case, "time", "epoch_seconds"), write, page.absent(case)),
            page.ratio(case, findings.baseline(case, run["cases"])),
            page.figure(parts.get("computing"), write, page.absent(case)),
            *(page.figure(parts.get(name), write, page.absent(case)) for name in ("communicating", "waiting")),
            page.figure(dig(case, "bytes", "epoch_sent"), write_bytes, page.absent(case)),
            page.figure(dig(case, "metrics", "auc"), figures.score)
            if case.get("metrics") or not case.get("models")
            else Cell("one a party, below"),
        ]
        for case, _, parts in all_parts
    ]
    columns = (
        "Case",
        f"Epoch ({unit})",
        "Times centralised [95 % interval]",
        f"Computing ({unit})",
        f"Communicating ({unit})",
        f"Waiting ({unit})",
        f"Sent per epoch ({bytes_unit})",
        "AUC",
    )
    caption = (
        f"Every finished case; median and (below) lowest{figures.TO}highest, {repeats_of(cases)}. Where there are "
        "several parties, the epoch and its parts are those of the largest (most training rows). Times centralised is "
        "the geometric mean of the ratios repeat by repeat, with their paired interval; it need not be the ratio of "
        "the medians."
    )
    return Table(caption, columns, rows)


def _trust(run: Run) -> Table:
    """List the facts that trust rests on."""
    states = [str(case.get("status")) for case in run["cases"]]
    tally = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "none"
    spreads = [
        (spread, label_of(case))
        for case in run["cases"]
        if (spread := findings.relative_spread(dig(case, "time", "epoch_seconds"))) is not None
    ]
    shares = [
        (share["low"], f"{label_of(case)}, {party}")
        for case in run["cases"]
        for party, share in [findings.least_attributed(case)]
        if share is not None
    ]
    sampler, rate = dig(run, "measuring", "sampler_cpu_percent"), dig(run, "measuring", "sampler_hertz")
    facts = {
        "Cases": tally,
        "Repeats": repeats_of(run["cases"]),
        "Widest spread of the time per epoch": _worst(max(spreads, default=None), "of the median")
        or "not measured (it takes two repeats)",
        "Least share of the epoch in named phases": _worst(min(shares, default=None), "of the epoch"),
        "Load average before (1, 5, 15 minutes)": _loads(dig(run, "environment", "load_before")),
        "Load average after": _loads(dig(run, "environment", "load_after")),
        "Cost of the resource sampler": None
        if sampler is None
        else f"{figures.number(sampler, 2)} % of one core" + ("" if rate is None else f", {rate:g} samples a second"),
    }
    return _facts("What the trust rests on", facts)


def _worst(found: tuple[float, str] | None, of: str) -> str | None:
    return None if found is None else f"{figures.percent(found[0])} {of} ({found[1]})"


def _loads(loads: Any) -> str | None:
    return ", ".join(f"{load:.2f}" for load in loads) if loads else None


def _facts(caption: str, facts: Mapping[str, object]) -> Table:
    """Return a table of two columns."""
    return Table(caption, ("", ""), [[Cell(name), page.text(value)] for name, value in facts.items()])


# Accuracy


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
    headings = {
        f"{name}_{label}": f"{name.capitalize()}, {names[label]}" for label in (0, 1) for name in findings.PER_CLASS
    }
    rows = [(_model_label(case, model), metrics) for case, model, metrics in models]
    spoken = f"median and (below) lowest{figures.TO}highest, {repeats_of(case for case, _, _ in models)}"
    tables = [
        _score_table(
            f"Scores over both classes, on the common test set; {spoken}", findings.OVERALL, rows, figures.score
        ),
        _score_table(f"Scores per class; {spoken}", headings, rows, figures.score),
    ]
    gaps = [
        (_model_label(case, model), metrics)
        for case in run["cases"]
        if (base := findings.baseline(case, run["cases"])) is not None and base is not case
        for model, metrics in findings.paired_differences(scores, case, base).items()
    ]
    if gaps:
        caption = f"Difference to centralised ({{}}), each repeat against centralised in the same repeat; {spoken}"
        lower = f"{caption}. Of log loss, less is better"
        tables.append(_score_table(lower.format("over both classes"), findings.OVERALL, gaps, figures.difference))
        tables.append(_score_table(caption.format("per class"), headings, gaps, figures.difference))
    return tables


def _score_table(caption: str, headings: Mapping[str, str], rows: Sequence[tuple[str, Any]], write: Write) -> Table:
    body = [[Cell(label), *(page.figure(metrics.get(key), write) for key in headings)] for label, metrics in rows]
    return Table(caption, ("Model", *headings.values()), body)


def _model_label(case: Case, model: str) -> str:
    """Name a model: by its case, and by the party where a case has several."""
    return label_of(case) if findings.model_of(case) == model else f"{label_of(case)}: {model}"


def _class_names(run: Run) -> tuple[str, str]:
    """Name the classes; datasets with different classes share a table under their numbers."""
    names = {tuple(str(name) for name in facts.get("class_names") or ()) for facts in run["datasets"].values()}
    only = names.pop() if len(names) == 1 else ()
    return (only[0], only[1]) if len(only) == 2 else ("class 0", "class 1")


# Time, bytes, resources


def _parties(case: Case, part: str) -> dict[str, Any]:
    """Return ``by_party`` of a part of a case, without parties that have nothing there."""
    return {party: facts for party, facts in (dig(case, part, "by_party") or {}).items() if facts}


def _phase_cell(facts: Mapping[str, Any], phase: str, write: Write) -> Cell:
    """Return a phase's cell; a phase that a measured process never entered is none, not a gap."""
    phases = facts.get("phases") or {}
    return Cell(page.NONE) if phases and phase not in phases else page.figure(phases.get(phase), write)


def _time(run: Run) -> dict[str, Any]:
    """Time per epoch by phase and party, and the times of whole cases."""
    cases = _with(run, "time")
    rows = [(case, party, facts) for case in cases for party, facts in _parties(case, "time").items()]
    write, unit = page.time_writer(facts.get("epoch_seconds") for _, _, facts in rows)
    phases = [name for name in PHASES if any(dig(facts, "phases", name) for _, _, facts in rows)]
    body = [
        (
            case,
            [
                Cell(party),
                page.figure(facts.get("epoch_seconds"), write),
                *(_phase_cell(facts, name, write) for name in phases),
                page.figure(facts.get("cpu_seconds"), write),
            ],
        )
        for case, party, facts in rows
    ]
    columns = (
        "Party",
        f"Epoch ({unit})",
        *(f"{name.capitalize()} ({unit})" for name in phases),
        f"CPU ({unit})",
    )
    spoken = f"{repeats_of(cases)}; a repeat counts with its epochs after the warm-up (docs/results.md)"
    caption = f"Time per epoch by party and phase; median and (below) lowest{figures.TO}highest, {spoken}"
    return {
        "plot": page.phase_plot(rows, "Time per epoch, by phase and party", unit, write, spoken) if rows else None,
        "table": Table(caption, columns, page.by_case(body)) if rows else None,
        "whole": _whole_cases(cases) if cases else None,
        "stages": _stages(cases),
    }


def _whole_cases(cases: Sequence[Case]) -> Table:
    """Show the times of whole cases: start-up, training, epochs."""
    keys = ("startup_seconds", "training_seconds")
    write, unit = page.time_writer(dig(case, "time", key) for case in cases for key in keys)
    rows = []
    for case in cases:
        _, share = findings.least_attributed(case)
        largest = dig(case, "time", "critical_party") if case.get("network") != "none" else ""
        rows.append(
            [
                Cell(label_of(case)),
                *(page.figure(dig(case, "time", key), write) for key in keys),
                Cell(_epochs_run(case)),
                Cell(page.NONE) if page.without_epochs(case) else page.text(case.get("warmup_epochs")),
                page.figure(share, figures.percent, page.NONE if page.without_epochs(case) else figures.NOT_MEASURED),
                page.text(largest),
            ]
        )
    columns = (
        "Case",
        f"Start-up ({unit})",
        f"Training ({unit})",
        "Epochs run",
        "Of them warm-up",
        "Epoch in named phases (the party with the least)",
        "Largest party (most training rows)",
    )
    return Table(f"Whole cases; {repeats_of(cases)}", columns, rows, columns[-1:])


def _stages(cases: Sequence[Case]) -> Table | None:
    """Show where the jobs of a platform spent their time, epochs and all the rest; None where there was no platform."""
    with_stages = [case for case in cases if dig(case, "time", "stages")]
    names = list(dict.fromkeys(name for case in with_stages for name in case["time"]["stages"]))
    rows = [
        [
            Cell(name),
            *(page.figure(dig(case, "time", "stages", name), figures.number, page.NONE) for case in with_stages),
        ]
        for name in names
    ]
    wholes = [
        figures.add_up([summary for summary in case["time"]["stages"].values() if summary]) for case in with_stages
    ]
    rows.append([Cell("all"), *(page.figure(whole, figures.number) for whole in wholes)])
    columns = ("Stage", *(f"{label_of(case)} (s)" for case in with_stages))
    caption = f"Where the whole job's time went, platform and epochs, seen from the guest; {repeats_of(with_stages)}"
    return Table(caption, columns, rows) if with_stages else None


def _epochs_run(case: Case) -> str:
    """Write how many epochs the repeats took; one number where all took as many."""
    if page.without_epochs(case):
        return "no epochs"
    return ", ".join(str(n) for n in dict.fromkeys(case.get("epochs_run") or [])) or figures.NOT_MEASURED


def _bytes(run: Run) -> dict[str, Any]:
    """Bytes each way, by party and for all parties together."""
    cases = _with(run, "bytes")
    rows = []
    for case in cases:
        rows += [(case, party, facts, False) for party, facts in _parties(case, "bytes").items()]
        rows.append((case, "all parties, without the arbiter", case["bytes"], True))
    write, unit = page.byte_writer(facts.get(f"epoch_{way}") for *_, facts, _ in rows for way in ("sent", "received"))
    body = []
    for case, party, facts, whole in rows:
        wire = (facts.get("wire") or {}) if whole else None
        cells = [page.figure(facts.get(f"epoch_{way}"), write) for way in ("sent", "received")]
        cells += [
            page.figure(wire.get(way), figures.size) if wire is not None else Cell("") for way in ("sent", "received")
        ]
        body.append((case, [Cell(party), *cells]))
    bars = [
        charts.Bar(
            party,
            [
                charts.Segment(way, way, dig(measured(facts.get(f"epoch_{way}")), "median") or 0)
                for way in ("sent", "received")
            ],
            _both_ways(facts, write, unit),
            label_of(case),
        )
        for case, party, facts, whole in rows
        if not whole
    ]
    title = "Bytes per epoch and party, sent and received"
    columns = (
        "Party",
        f"Sent per epoch ({unit})",
        f"Received per epoch ({unit})",
        "Sent, carried by the sockets in the whole case",
        "Received, carried by the sockets in the whole case",
    )
    caption = (
        "Bytes; kB and MB are 1,000 and 1,000,000 bytes. Per epoch they are those of the messages; in the whole case, "
        f"those carried by the sockets (HTTP/2 framing included, TCP/IP headers not); {repeats_of(cases)}"
    )
    return {
        "plot": Plot(charts.stacked_bars(bars, title, write), f"{title}, in {unit}; medians, {repeats_of(cases)}.")
        if bars
        else None,
        "table": Table(caption, columns, page.by_case(body)) if rows else None,
    }


def _both_ways(facts: Mapping[str, Any], write: Write, unit: str) -> str:
    """Write bytes sent + received of a party."""
    total = figures.add_up([facts.get("epoch_sent"), facts.get("epoch_received")])
    return f"{write(total['median'])}{figures.SPACE}{unit}" if total else figures.NOT_MEASURED


def _resources(run: Run, samples: pd.DataFrame) -> dict[str, Any]:
    """CPU and memory of every party: a table, and curves over time."""
    cases = _with(run, "resources")
    rows = [
        (
            case,
            [
                Cell(party),
                *(
                    page.figure(
                        facts.get(key), figures.number, page.NONE if page.without_epochs(case) else figures.NOT_MEASURED
                    )
                    for key in ("cpu_percent", "cpu_seconds")
                ),
                *(
                    page.figure(facts.get(key), lambda value: figures.number(value / 1e6))
                    for key in ("rss_peak_bytes", "uss_peak_bytes")
                ),
            ],
        )
        for case in cases
        for party, facts in _parties(case, "resources").items()
    ]
    columns = (
        "Party",
        "CPU, mean over the epochs (% of one core)",
        "CPU time, all epochs (s)",
        "Peak memory, resident (MB)",
        "Peak memory, unshared (MB)",
    )
    spoken = f"median and (below) lowest{figures.TO}highest, {repeats_of(cases)}"
    caption = f"CPU (without the set-up) and memory of every party's processes; {spoken}"
    return {
        "table": Table(caption, columns, page.by_case(rows)) if rows else None,
        "plots": _resource_plots(run, samples),
    }


def _resource_plots(run: Run, samples: pd.DataFrame) -> list[Plot]:
    """Draw CPU and memory over time for the first repeat of every case that has samples."""
    samples = samples[samples["party"].notna() & (samples["party"] != "")]
    points = max(20, min(200, CURVE_POINTS // max(1, 2 * samples[["case", "party"]].drop_duplicates().shape[0])))
    plots = []
    for case in run["cases"]:
        mine = samples[samples["case"] == case["id"]]
        if mine.empty:
            continue
        repeat = mine["repeat"].min()
        mine = mine[mine["repeat"] == repeat]
        for column, factor, name, keep in (
            ("cpu_percent", 1.0, "CPU (% of one core)", fmean),
            ("rss", 1e-6, "Resident memory (MB)", max),
        ):
            lines = []
            for party, rows in mine.groupby("party", sort=False):
                known = rows[["t", column]].dropna()
                x = charts.thin(list(known["t"]), points, min)
                y = charts.thin(list(known[column] * factor), points, keep)
                lines.append(charts.Line(str(party), x, y))
            drawing = charts.line_plot(lines, f"{label_of(case)}: {name} over time", "Seconds since the start", name)
            if drawing:
                caption = f"{label_of(case)}: {name} over time, one repeat (n = 1, repeat {repeat:.0f})."
                plots.append(Plot(drawing, caption))
    return plots


def _convergence(run: Run) -> dict[str, Any] | None:
    """Training loss against passes over the data."""
    lines = []
    for case in run["cases"]:
        step = dig(case, "training", "local_epochs") or 1
        points = [(i * step, loss) for i, loss in enumerate(case.get("loss") or []) if loss is not None]
        if points:
            last = f"last {figures.number(points[-1][1], 4)}"
            lines.append(charts.Line(label_of(case), [x for x, _ in points], [y for _, y in points], last))
    if not lines:
        return None
    passes = sorted({x for line in lines for x in line.x})
    shown = sorted({*charts.thin(passes, LOSS_ROWS, min), passes[-1]})
    columns = [dict(zip(line.x, line.y, strict=True)) for line in lines]
    rows = [[Cell(figures.count(x)), *(_loss_cell(column.get(x)) for column in columns)] for x in shown]
    title = "Training loss against passes over the data"
    thinned = f" (every {-(-len(passes) // LOSS_ROWS)} passes)" if len(passes) > LOSS_ROWS else ""
    return {
        "plot": Plot(
            charts.line_plot(lines, title, "Passes over the data done", "Training loss", from_zero=False),
            f"{title}, with the weights that the epoch began with; first repeat (n = 1).",
        ),
        "table": Table(f"{title}{thinned}; first repeat (n = 1)", ("Passes", *(line.name for line in lines)), rows),
    }


def _loss_cell(loss: float | None) -> Cell:
    return Cell("") if loss is None else Cell(figures.number(loss, 5), "", loss)


# Data, cases, environment


def _dataset(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the data: where it comes from, what each preparation step left, how it was split."""
    steps = facts.get("funnel") or []
    title = "Rows left after each preparation step"
    bars = [
        (
            str(step.get("step")),
            step["rows"],
            f"{figures.count(step['rows'])} rows, {page.count(step.get('columns')).text} columns",
        )
        for step in steps
        if step.get("rows") is not None
    ]
    body = [
        [
            page.text(step.get("step")),
            page.count(step.get("rows")),
            page.count(step.get("columns")),
            Cell(str(step.get("note") or "")),
        ]
        for step in steps
    ]
    names = [str(name) for name in facts.get("class_names") or ("class 0", "class 1")]
    shape = [page.count(facts.get(key)).text for key in ("rows", "features")]
    classes = _classes(facts.get("class_counts"), names)
    return {
        "title": facts.get("title") or facts.get("name"),
        "source": facts.get("source"),
        "synthetic": bool(facts.get("synthetic")),
        "shape": f"{shape[0]} rows of {shape[1]} features; {classes}",
        "funnel": Plot(charts.bar_list(bars, title), f"{title} (n = 1 file).") if bars else None,
        "funnel_table": Table(title, ("Step", "Rows", "Columns", "Note"), body, ["Note"]) if steps else None,
        "splits": [_split(name, split, names) for name, split in (facts.get("splits") or {}).items() if split],
    }


def _classes(counts: Any, names: Sequence[str]) -> str:
    """Write class counts with their shares."""
    if not counts:
        return figures.NOT_MEASURED
    total = sum(counts)
    shares = [f"{n:,} {name} ({figures.percent(n / total)})" for n, name in zip(counts, names, strict=False) if total]
    return ", ".join(shares) or "no rows"


def _split(name: str, split: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """How the rows were split, with the classes of every party before and after balancing."""
    bars, rows = [], []
    for party in split.get("parties") or []:
        label = f"{party['party']}/{party['role']}"
        cells = [Cell(label)]
        for state, suffix in (("before", "_before_balance"), ("after", "")):
            counts = party.get(f"class_counts{suffix}") or [None, None]
            for n in (party.get(f"rows{suffix}"), *counts):
                cells.append(page.count(n))
            segments = [charts.Segment(f"class{i}", names[i], n) for i, n in enumerate(counts) if n is not None]
            bars.append(charts.Bar(f"{label}, {state}", segments, page.count(party.get(f"rows{suffix}")).text))
        rows.append(cells)
    title = "Training rows of each party by class, before and after balancing"
    drawn = "repeat 1; every repeat draws its own split"
    parts = ("Rows", *names)
    columns = ("Party", *(f"{part} {state}" for state in ("before", "after") for part in parts))
    train, test = (page.count(split.get(key)).text for key in ("train_rows", "test_rows"))
    return {
        "name": name,
        "text": f"In repeat 1: {train} rows for training before balancing, {test} rows for the common test "
        f"({_classes(split.get('test_class_counts'), names)}), which is never balanced.",
        "plot": Plot(charts.stacked_bars(bars, title, figures.count), f"{title}; {drawn}.") if bars else None,
        "table": Table(f"{title}; {drawn}", columns, rows) if rows else None,
    }


def _unfinished(run: Run) -> Table | None:
    """List the cases without a result, and why."""
    rows = [
        [
            Cell(str(case.get("title") or case["id"])),
            page.text(case.get("status")),
            Cell(f"{len(case.get('repeats_done') or [])} of {case.get('repeats')}"),
            Cell(str(case.get("error") or "no reason recorded" if case.get("status") != "pending" else "not run yet")),
        ]
        for case in run["cases"]
        if not figures.finished(case)
    ]
    return (
        Table(
            "Cases that failed, were skipped or are pending",
            ("Case", "Status", "Repeats done", "Why"),
            rows,
            ["Status", "Why"],
        )
        if rows
        else None
    )


def _environment(run: Run) -> Table:
    """List what the run was measured on."""
    facts = run["environment"] or {}
    cores = [facts.get(f"cores_{kind}") for kind in ("logical", "physical")]
    memory = facts.get("memory_bytes")
    packages = facts.get("packages") or {}
    return _facts(
        "Environment",
        {
            "CPU": facts.get("cpu"),
            "Cores, logical and physical": " and ".join(figures.NOT_MEASURED if n is None else str(n) for n in cores),
            "Memory": None if memory is None else f"{memory / 1e9:.1f} GB",
            "Operating system": facts.get("os"),
            "Kernel": facts.get("kernel"),
            "Virtualisation": _yes_or_no(facts.get("virtualised")),
            "CPU governor": facts.get("cpu_governor"),
            "Python": facts.get("python"),
            "Threads per process": facts.get("threads_per_process"),
            "Packages": ", ".join(f"{name} {version}" for name, version in packages.items()) or None,
        },
    )


def _yes_or_no(value: object) -> object:
    return ("yes" if value else "no") if isinstance(value, bool) else value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.report",
        description="Write report.html of one or more runs again, from the files in their folders.",
        epilog="example: python -m bench.report results/20261123-140501-quick",
    )
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="a run folder")
    runs = parser.parse_args(arguments).runs

    def work() -> None:
        for run in runs:
            print(render(run))

    return command.exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
