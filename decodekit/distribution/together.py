"""The sums of many lists in one pass, bit for bit those that each list makes alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from decodekit.distribution.passes import FAR
from decodekit.distribution.row import Row

__all__ = ["sum_lists"]

_RUNNING, _SUMS = Row.running, Row.sums  # the attributes


def sum_lists(rows: Iterable[Row]) -> None:
    """Compute the running totals and the sums of those rows that are lists and have not computed them yet.

    NumPy sums in pairs along a row, but adds one number after the other in running totals, whatever the shape of the
    array. So these are the bits of `Row.running`.
    """
    lists = {id(row): row for row in rows if row.ids is not None and _RUNNING.known(row) is None}
    if len(lists) < 2:
        return  # nothing is saved
    found = list(lists.values())
    counts = [len(row.values) for row in found]
    each = np.array(counts)
    flat = np.concatenate([row.values for row in found])
    ends = np.add.accumulate(each)
    largest = flat[ends - each]
    deep = largest - flat[ends - 1] > FAR
    shifted = flat - largest.repeat(each)
    if deep.any():
        np.maximum(shifted, -FAR, out=shifted)  # of a list that is not deep, nothing lies below this
    weights = np.exp(shifted)
    shifted *= weights
    longest = max(counts)
    if longest * len(counts) == len(flat):
        totals, moments = weights.reshape(-1, longest), shifted.reshape(-1, longest)
    else:
        within = np.arange(longest) < each[:, np.newaxis]
        totals, moments = np.zeros(within.shape), np.zeros(within.shape)
        totals[within], moments[within] = weights, shifted
    np.add.accumulate(totals, axis=1, out=totals)
    np.add.accumulate(moments, axis=1, out=moments)
    last = (np.arange(len(counts)), each - 1)
    sums = zip(totals[last].tolist(), (moments[last] / totals[last]).tolist(), strict=True)
    for row, total, moment, count, both in zip(found, totals, moments, counts, sums, strict=True):
        _RUNNING.put(row, (total[:count], moment[:count]))
        _SUMS.put(row, both)
