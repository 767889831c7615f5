# SPDX-License-Identifier: BSD-2-Clause
"""plot - pictures of results as SVG, drawn by gnuplot (package gnuplot-nox)."""
import subprocess

TITLES = {"kernel_block": "kernel, blocking", "kernel_spin": "kernel, spinning",
          "latency": "fsock, latency profile", "default": "fsock, default profile"}

SCRIPT = """
set terminal svg size 760,420 font 'Helvetica,13' background '#ffffff'
set output '{output}'
set title 'UDP ping-pong, 64 bytes, unmodified sockperf: half round trip'
set xlabel 'percentile'
set ylabel 'microseconds'
set logscale y
set grid ytics lc rgb '#dddddd'
set key top left
set style data linespoints
set xtics rotate by -30
plot {plots}
"""


def latency(curves, output):
    """@curves: column -> percentile -> microseconds."""
    data, plots = [], []
    for name, points in curves.items():
        data.append(f"${name} << EOD")
        drawn = [(label, value) for label, value in points.items() if value]
        data += [f'"p{label}" {value}' for label, value in drawn]
        data.append("EOD")
        plots.append(f"${name} using 0:2:xtic(1) title '{TITLES.get(name, name)}' lw 2 pt 7 ps 0.5")
    script = "\n".join(data) + SCRIPT.format(output=output, plots=", ".join(plots))
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


WORLDS = ("both at one queue of 50 Mbit/s", "each alone, 1 % random loss")
SIDE_SCRIPT = """
set terminal svg size 760,520 font 'Helvetica,13' background '#ffffff'
set output '{output}'
set multiplot layout 2,1 title 'BBR beside CUBIC, simulated'
set xlabel 'seconds'
set ylabel 'Mbit/s'
set yrange [0:55]
set grid ytics lc rgb '#dddddd'
set key outside right
"""


def side_by_side(worlds, output):
    """@worlds: for each of WORLDS rows of s, CUBIC's Mbit/s and round trip in ms, BBR's."""
    data, plots = [], []
    for i, rows in enumerate(worlds):
        data += [f"$world{i} << EOD", *(" ".join(map(str, row)) for row in rows), "EOD"]
        plots.append(f"set title '{WORLDS[i]}'\nplot $world{i} using 1:2 with lines lw 2 title 'CUBIC', "
                     f"$world{i} using 1:4 with lines lw 2 title 'BBR'")
    script = "\n".join(data) + SIDE_SCRIPT.format(output=output) + "\n".join(plots) + "\nunset multiplot\n"
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
