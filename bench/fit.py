# SPDX-License-Identifier: BSD-2-Clause
"""
fit - curves through measured points, by least squares: what a message costs before its first byte, and for each.

Points are pairs (bytes, value), of two sizes at least.
"""


def line(points, weight=lambda size, value: 1):
    """
    (a, b) of value = a + b * size with the smallest sum of weighted squares. Unweighted, as here where nothing else is
    said, the largest values decide: a then is what suits long messages, not what a short one takes.
    """
    rows = [(size, value, weight(size, value)) for size, value in points]
    total = sum(w for _, _, w in rows)
    mean_size = sum(w * size for size, _, w in rows) / total
    mean_value = sum(w * value for _, value, w in rows) / total
    wide = sum(w * (size - mean_size) ** 2 for size, _, w in rows)
    if wide == 0:
        raise ValueError("points of one size have no slope")
    slope = sum(w * (size - mean_size) * (value - mean_value) for size, value, w in rows) / wide
    return mean_value - slope * mean_size, slope


def half_power(points):
    """
    (r, n) of rate = r * size / (n + size) through (size, rate): the rate that messages without end would have, and
    the size that has half of it. The time of a message is (n + size) / r, a line; weights make the same part of it
    count the same, whatever the size.
    """
    times = [(size, size / rate) for size, rate in points]
    start, each = line(times, lambda size, time: 1 / time ** 2)
    return 1 / each, start / each
