"""Whether the figures of a page stand on real or on generated data."""

from __future__ import annotations

from bench.i18n import messages
from bench.i18n.language import gettext, listed
from bench.results.view import RunView


def first_line(run: RunView) -> str:
    """Say whether the figures stand on real or on generated data."""
    kinds: dict[bool, list[str]] = {True: [], False: []}
    for identifier, facts in run.datasets.items():
        kinds[bool(facts.synthetic)].append(messages.say(facts.title or facts.name or identifier))
    generated, other = listed(kinds[True]), listed(kinds[False])
    if generated and other:
        return gettext(
            "Partly synthetic data: {generated} (generated), {other} (not synthetic).", generated=generated, other=other
        )
    if generated:
        return gettext(
            "Synthetic data: {generated} (generated). Times and bytes are measured; "
            "the scores say nothing about real records.",
            generated=generated,
        )
    return (
        gettext("Data, not synthetic: {other}.", other=other) if other else gettext("No data was loaded in this run.")
    )
