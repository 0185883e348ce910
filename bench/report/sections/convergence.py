"""The report's section on convergence: training loss against passes over the data."""

from __future__ import annotations

from collections.abc import Sequence

from bench.i18n.language import gettext
from bench.pages import charts
from bench.pages.elements import Cell, Plot, Table
from bench.report.section import Block, Folded, Paragraph, Section
from bench.results.view import RunView
from bench.stats import formatting

# Rows of the table of losses.
LOSS_ROWS = 40


class Convergence(Section):
    """How the training loss falls."""

    name, order = "convergence", 90

    def title(self) -> str:
        """Return its heading."""
        return gettext("Convergence")

    def short_title(self) -> str:
        """Return its name in the contents."""
        return gettext("Convergence")

    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return the losses of all cases drawn, and their table."""
        lines = []
        for case in run.cases:
            step = case.record.training.get("local_epochs") or 1
            points = [(i * step, loss) for i, loss in enumerate(case.record.loss) if loss is not None]
            if points:
                last = gettext("last {loss}", loss=formatting.number(points[-1][1], 4))
                lines.append(charts.Line(case.label, [x for x, _ in points], [y for _, y in points], last))
        if not lines:
            return [Paragraph(gettext("Loss per epoch: not measured."))]
        title = gettext("Training loss against passes over the data")
        x_label, y_label = gettext("Passes over the data done"), gettext("Training loss")
        caption = gettext("{title}, with the weights that the epoch began with; first repeat (n = 1).", title=title)
        drawing = charts.line_plot(lines, title, x_label, y_label, from_zero=False)
        return [Plot(drawing, caption), Folded(gettext("Table of the losses"), _table(lines, title))]


SECTION = Convergence()


def _table(lines: Sequence[charts.Line], title: str) -> Table:
    passes = sorted({x for line in lines for x in line.x})
    shown = sorted({*charts.thin(passes, LOSS_ROWS, min), passes[-1]})
    columns = [dict(zip(line.x, line.y, strict=True)) for line in lines]
    rows = [[Cell(formatting.count(x)), *(_loss_cell(column.get(x)) for column in columns)] for x in shown]
    caption = (
        gettext("{title} (every {n} passes); first repeat (n = 1)", title=title, n=-(-len(passes) // LOSS_ROWS))
        if len(passes) > LOSS_ROWS
        else gettext("{title}; first repeat (n = 1)", title=title)
    )
    return Table(caption, (gettext("Passes"), *(line.name for line in lines)), rows)


def _loss_cell(loss: float | None) -> Cell:
    return Cell("") if loss is None else Cell(formatting.number(loss, 5), "", loss)
