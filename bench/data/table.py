"""The shape every dataset takes before it is split over the parties."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.i18n.language import gettext_noop
from bench.i18n.messages import Line, Message

BESIDE_LABEL = Message("beside_label", gettext_noop("beside the label {label}"))

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class FunnelStep:
    """What one preparation step left of the table."""

    step: Line
    rows: int
    columns: int
    note: Line = ""


@dataclass(frozen=True)
class Dataset:
    """Labelled rows, ready to be split; nothing is scaled or balanced yet.

    ``X`` is ``(rows, features)`` float64 in C order, ``y`` is ``(rows,)`` float64 holding 0.0 and 1.0.
    ``class_names`` names class 0 and class 1. ``groups`` maps a column's name to its ``(rows,)`` values, for splits
    by a column (for example the year of issue). ``given_parties`` (row indices, one array a party) and ``given_test``
    are set when the user brought one file per party or a test file of their own. ``preprocessing`` is what a
    model file must carry so that raw rows can be turned into the features again.
    """

    name: str
    X: Matrix
    y: Vector
    features: list[str]
    class_names: tuple[str, str]
    source: Line
    synthetic: bool = False
    funnel: list[FunnelStep] = field(default_factory=list)
    groups: dict[str, NDArray[Any]] = field(default_factory=dict)
    given_parties: list[Rows] | None = None
    given_test: Rows | None = None
    preprocessing: dict[str, Any] = field(default_factory=dict)
