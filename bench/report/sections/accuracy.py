"""The report's section on accuracy: the scores of all models, and their paired differences to the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.i18n.language import gettext, listed, sequence
from bench.pages import charts, elements, scores
from bench.pages.elements import Cell, Plot, Table, repeats_of
from bench.report.section import Block, Paragraph, Section
from bench.results.view import CaseView, RunView
from bench.stats import formatting
from bench.stats.formatting import Write
from bench.stats.summaries import Summary

Rows = Sequence[tuple[str, Mapping[str, Summary]]]


class Accuracy(Section):
    """Scores on the common test set."""

    name, order = "accuracy", 50

    def title(self) -> str:
        """Return its heading."""
        return gettext("Accuracy")

    def short_title(self) -> str:
        """Return its name in the contents."""
        return gettext("Accuracy")

    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return a sentence on the headline case, the differences drawn, and the tables."""
        said = [Paragraph(_sentence(*run.spoken_of))] if len(run.spoken_of) > 1 else []
        drawn = _differences_drawn(run)
        tables: list[Block] = list(_tables(run)) or [Paragraph(gettext("Scores: not measured."))]
        return [*said, *([drawn] if drawn else []), *tables]


SECTION = Accuracy()


def _sentence(case: CaseView, base: CaseView) -> str:
    """Compare the scores that matter most: AUC, and how much of class 0 is found."""
    ours, theirs = case.record.metrics, base.record.metrics
    if not ours or not theirs:
        return gettext("The scores of one of the two were not measured.")
    paired = case.score_differences(base).get(case.model or "", {})
    class_name = (case.dataset.class_names if case.dataset else None) or [gettext("class 0")]
    parts = []
    for metric, name in (("auc", "AUC"), ("specificity", gettext("recall of {class_name}", class_name=class_name[0]))):
        gap = paired.get(metric)
        both = [formatting.in_words(side.get(metric), formatting.score) for side in (ours, theirs)]
        values = {"score": name, "ours": both[0], "theirs": both[1]}
        parts.append(
            gettext(
                "{score} was {ours} against {theirs}, a paired difference of {gap}",
                **values,
                gap=formatting.in_words(gap, formatting.difference),
            )
            if gap and gap.n > 1
            else gettext("{score} was {ours} against {theirs}", **values)
        )
    rows = case.split.test_rows if case.split else None
    if not rows:
        return gettext("On the common test set, {scores}.", scores=sequence(parts))
    return gettext(
        "On the common test set of {rows} rows, {scores}.", rows=formatting.count(rows), scores=sequence(parts)
    )


def _tables(run: RunView) -> Iterator[Table]:
    """Show the scores of all models, per class and over both, and the paired differences to the baseline."""
    models = [(case, model, metrics) for case in run.cases for model, metrics in case.record.models.items() if metrics]
    if not models:
        return
    measured = dict.fromkeys(name for _, _, metrics in models for name in metrics)
    overall, per_class = scores.overall(measured), scores.per_class(_class_names(run))
    rows = [(_model_label(case, model), metrics) for case, model, metrics in models]
    repeats = repeats_of(case for case, _, _ in models)
    below = gettext("median and (below) lowest\N{EN DASH}highest, {repeats}", repeats=repeats)
    over_both = gettext("Scores over both classes, on the common test set; {below}", below=below)
    yield _table(over_both, overall, rows, formatting.score)
    yield _table(gettext("Scores per class; {below}", below=below), per_class, rows, formatting.score)
    gaps = [
        (_model_label(case, model), metrics)
        for case in run.cases
        if case.baseline is not None and case.baseline is not case
        for model, metrics in case.score_differences(case.baseline).items()
    ]
    if not gaps:
        return
    how = gettext("each repeat against centralised in the same repeat; {below}", below=below)
    over_both = gettext(
        "Difference to centralised (over both classes), {how}. Less is better: {scores}",
        how=how,
        scores=listed(scores.less_is_better()),
    )
    yield _table(over_both, overall, gaps, formatting.difference)
    yield _table(
        gettext("Difference to centralised (per class), {how}", how=how), per_class, gaps, formatting.difference
    )


def _table(caption: str, headings: Mapping[str, str], rows: Rows, write: Write) -> Table:
    body = [[Cell(label), *(elements.figure(metrics.get(key), write) for key in headings)] for label, metrics in rows]
    return Table(caption, (gettext("Model"), *headings.values()), body)


def _model_label(case: CaseView, model: str) -> str:
    """Name a model: by its case, and by the party where a case has several."""
    return case.label if case.model == model else gettext("{case}: {model}", case=case.label, model=model)


def _class_names(run: RunView) -> Sequence[str]:
    """Name the classes; datasets with different classes share a table under their numbers."""
    names = {tuple(facts.class_names) for facts in run.datasets.values()}
    only = names.pop() if len(names) == 1 else ()
    return only if len(only) == 2 else (gettext("class 0"), gettext("class 1"))


def _differences_drawn(run: RunView) -> Plot | None:
    """Draw the AUC of every case less that of its baseline, repeat by repeat."""
    rows = []
    for case in run.finished:
        base = case.baseline
        compared = case.score_against(base, "auc") if base and base is not case else None
        if compared is None:
            continue
        kind = {1: "higher", -1: "lower", 0: "unsure"}[compared.sign]
        text = elements.gap(compared)
        rows.append(charts.Interval(case.label, compared.estimate, compared.low, compared.high, kind, text))
    if not any(row.estimate is not None for row in rows):
        return None
    title = gettext("AUC less that of centralised on the same rows")
    caption = gettext(
        "{title}, repeat by repeat: the mean of the differences with its {confidence} interval, {repeats}.",
        title=title,
        confidence=formatting.CONFIDENCE,
        repeats=repeats_of(run.cases),
    )
    return Plot(charts.differences(rows, title, gettext("Difference of AUC")), caption)
