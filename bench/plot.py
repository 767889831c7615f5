# SPDX-License-Identifier: BSD-2-Clause
"""plot - latency percentiles as an SVG, drawn by gnuplot (package gnuplot-nox)."""
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
