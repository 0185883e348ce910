"""Balancing two classes by synthetic minority rows."""

from __future__ import annotations

import numpy as np

from bench.data.table import Matrix, Vector

NEIGHBOURS = 5


def smote(X: Matrix, y: Vector, seed: int) -> tuple[Matrix, Vector]:
    """Add synthetic rows of the smaller class until both classes have the same size; they follow the real rows.

    SMOTE (Chawla et al. 2002, doi:10.1613/jair.953) interpolates between a row and one of its nearest neighbours of
    the same class. Neighbours are sought on columns standardised with the statistics of exactly these rows, because a
    distance over dollars and percentages would see the dollars only; interpolation commutes with that
    scaling. A single minority row has no neighbour and is repeated. Rows of one class only are returned unchanged.

    ``X`` is ``(rows, features)``, ``y`` is ``(rows,)`` of 0.0 and 1.0. The real rows come back bit by bit.
    """
    from imblearn.over_sampling import SMOTE, RandomOverSampler

    _, counts = np.unique(y, return_counts=True)
    if len(counts) < 2 or counts[0] == counts[1]:
        return X, y
    centre, scale = X.mean(axis=0), X.std(axis=0)
    scale[scale == 0] = 1.0
    neighbours = min(NEIGHBOURS, int(counts.min()) - 1)
    sampler = SMOTE(k_neighbors=neighbours, random_state=seed) if neighbours else RandomOverSampler(random_state=seed)
    scaled, balanced = sampler.fit_resample((X - centre) / scale, y)
    added = scaled[len(y) :] * scale + centre
    return np.concatenate([X, added]), np.asarray(balanced, dtype=np.float64)
