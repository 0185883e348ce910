"""The scores that pages show, and what they are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.i18n.language import gettext
from bench.model.scoring import metrics


def overall(measured: Iterable[str]) -> Mapping[str, str]:
    """Return {metric: heading} of the scores over both classes.

    Those of ``measured`` that no metric here is called, as from a plug-in that is not installed, follow by their names.
    """
    known = {name: gettext(metric.label) for name, metric in metrics().items() if metric.per_class is None}
    return known | {name: name for name in measured if name not in metrics()}


def per_class(class_names: Sequence[str]) -> Mapping[str, str]:
    """Return {metric: heading} of the scores of each of the two classes."""
    return {
        name: gettext("{score}, {class_name}", score=gettext(metric.label), class_name=class_names[metric.per_class])
        for name, metric in metrics().items()
        if metric.per_class is not None
    }


def in_comparisons(measured: Iterable[str]) -> Mapping[str, str]:
    """Return {metric: name} of the scores that comparisons list; those that always equal another are left out."""
    known = {
        name: metric.label if metric.per_class is None else f"{metric.label}, class {metric.per_class}"
        for name, metric in metrics().items()
        if metric.same_as is None
    }
    return known | {name: name for name in measured if name not in metrics()}


def less_is_better() -> list[str]:
    """Return the names of the scores of which less is better."""
    return [gettext(metric.label) for metric in metrics().values() if not metric.higher_is_better]
