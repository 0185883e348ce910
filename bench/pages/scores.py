"""The scores that pages show, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.i18n.language import gettext, gettext_noop

OVERALL = {
    "accuracy": gettext_noop("Accuracy"),
    "auc": "AUC",
    "ks": "KS",
    "average_precision": gettext_noop("Average precision"),
    "log_loss": gettext_noop("Log loss"),
    "specificity": gettext_noop("Specificity"),
}
PER_CLASS = {"precision": gettext_noop("Precision"), "recall": gettext_noop("Recall"), "f1": "F1"}


def overall() -> Mapping[str, str]:
    """Return {metric: heading} of the scores over both classes."""
    return {metric: gettext(name) for metric, name in OVERALL.items()}


def per_class(class_names: Sequence[str]) -> Mapping[str, str]:
    """Return {metric: heading} of the scores of each of the two classes."""
    return {
        f"{metric}_{label}": gettext("{score}, {class_name}", score=gettext(name), class_name=class_names[label])
        for label in (0, 1)
        for metric, name in PER_CLASS.items()
    }
