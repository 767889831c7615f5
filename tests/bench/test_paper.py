#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_paper.py - bench/fit.py, and what bench/scenarios_paper.py makes of figures. No network, no clock."""
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "scripts")]
import fit  # noqa: E402
import scenarios_paper as paper  # noqa: E402
from scenarios import Row  # noqa: E402


def close(test, got, want):
    for a, b in zip(got, want, strict=True):
        test.assertAlmostEqual(a, b, places=9)


class Line(unittest.TestCase):
    def test_line__points_on_one_are_it(self):
        close(self, fit.line([(x, 45.4 + 0.123 * x) for x in (1, 64, 512, 1000)]), (45.4, 0.123))

    def test_line__beside_it_squares_are_least(self):
        # Normal equations by hand: means 1 and 2, slope (1 * 1 + 1 * 2) / 2.
        close(self, fit.line([(0, 1), (1, 1), (2, 4)]), (0.5, 1.5))

    def test_line__a_weight_is_so_many_points(self):
        points = [(0, 1), (1, 1), (2, 4)]
        close(self, fit.line(points, lambda size, value: 3 if size == 2 else 1), fit.line(points + [points[2]] * 2))

    def test_line__one_size_has_no_slope(self):
        with self.assertRaises(ValueError):
            fit.line([(8, 1), (8, 2)])


class HalfPower(unittest.TestCase):
    def test_half_power__finds_the_curve_it_was_made_of(self):
        close(self, fit.half_power([(x, 32.9 * x / (441 + x)) for x in (16, 256, 4096, 65536)]), (32.9, 441))

    def test_half_power__a_short_message_counts_as_much_as_a_long_one(self):
        """Unweighted the longest, which is off, would leave nothing of the start-up."""
        points = [(x, x / (500 + x)) for x in (16, 64, 256, 1024)] + [(65536, 0.5)]
        _, half = fit.half_power(points)
        self.assertGreater(half, 150)


def figures(trip, call=10.0, share=1.0):
    """One round in which a trip takes trip(size) us, and a flow and a file as long as half of one."""
    found = {("trip", size): trip(size) for size in paper.TRIPS}
    found.update({("flow", size): size / (trip(size) / 2) for size in paper.FLOWS})
    found.update({(way, size): trip(size) / 2 for way in paper.WAYS for size in paper.FILES})
    return {**found, "call": call, "share": share, "flow share": share}


def seen(share=1.0):
    rounds = {"fsock": figures(lambda n: 1 + n / 1000, share=share), "kernel_block": figures(lambda n: 20 + n / 500),
              "kernel_spin": figures(lambda n: 8 + n / 500), "floor": figures(lambda n: 0.5 + n / 2000)}
    return {name: [{**found, **paper.derived(found)}] for name, found in rounds.items()}


def lines_of(share=1.0):
    rows = list(paper.rows_of(seen(share)))
    return rows, list(paper.table(rows))


class Paper(unittest.TestCase):
    def test_ratios__are_by_the_first(self):
        self.assertEqual(paper.ratios((57.8, 533.0, 45.0)), "1 : 9.22 : 0.779")
        self.assertEqual(paper.ratios((2, None, 1)), "1 : - : 0.5")

    def test_derived__a_line_below_zero_says_nothing(self):
        found = figures(lambda n: 100 - n / 1000)
        self.assertIsNone(paper.derived(found)["each", "short"])
        self.assertIsNone(paper.derived(figures(lambda n: n / 10 - 0.05))["start", "long"])

    def test_table__ratios_of_what_was_measured(self):
        _, lines = lines_of()
        text = "\n".join(lines)
        self.assertIn("start-up, us         1 : 20 : 8 : 0.5 ", text)
        self.assertIn("each byte, ns        1 : 2 : 2 : 0.5 ", text)
        self.assertRegex(text, r"half power, bytes +1 : 10 : 4 : 1 +1 : 4.76 : 0.844")

    def test_rows__fail_when_links_were_not_taken(self):
        rows, lines = lines_of(share=0.5)
        self.assertTrue(all(row.failed for row in rows))
        self.assertTrue(all("FAILED" in line for line in lines[2:]))
        rows, _ = lines_of()
        self.assertFalse(any(row.failed for row in rows))

    def test_rows__kernels_of_a_row_are_judged_by_what_is_better(self):
        rows, _ = lines_of()
        kept = next(row for row in rows if row.params.get("connection") == "kept")
        self.assertIsInstance(kept, Row)
        self.assertAlmostEqual(kept.ratio, (8 + 64 / 500) / (1 + 64 / 1000))


if __name__ == "__main__":
    unittest.main(verbosity=2)
