#!/usr/bin/env python3
"""Draws accuracy against MACs, a line a method: `curve.py MODEL < TABLE > PICTURE.svg`.

TABLE is what `cargo bench --bench results -- tokens PICTURES` prints. Needs nothing but Python.
"""

import re
import sys
from html import escape

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 64, 210, 24, 52
# Told apart by the colour-blind too: Okabe and Ito, 2008.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999", "#7a5195", "#795548"]
DASHES = ["", "6 3", "2 3"]


def lines_of(table, model):
    """Points (percent of MACs, accuracy in percent) by method; 100 % is the model as it was."""
    methods = {}
    for row in table:
        cells = [cell.strip() for cell in row.strip().strip("|").split("|")]
        budget = len(cells) >= 6 and re.search(r"to (\d+)% macs", cells[2])
        if not budget or cells[0] != model:
            continue
        method = cells[1] + (", not proportional" if "proportional_attention: false" in cells[2] else "")
        points = methods.setdefault(method, {100: 100 * float(cells[4])})
        points[int(budget[1])] = 100 * float(cells[5])
    return {method: sorted(points.items()) for method, points in methods.items()}


def main():
    model = sys.argv[1]
    methods = lines_of(sys.stdin, model)
    if not methods:
        sys.exit(f"no row of {model} has a budget of MACs")
    every = [point for points in methods.values() for point in points]
    low_x = min(x for x, _ in every)
    low_y, high_y = min(y for _, y in every), max(y for _, y in every)
    step = next(step for step in (1, 2, 5, 10, 20) if (high_y - low_y) / step <= 8)
    low_y, high_y = low_y // step * step, -(-high_y // step) * step
    x_of = lambda x: LEFT + (x - low_x) / (100 - low_x) * (WIDTH - LEFT - RIGHT)
    y_of = lambda y: HEIGHT - BOTTOM - (y - low_y) / (high_y - low_y) * (HEIGHT - TOP - BOTTOM)
    title = f"Accuracy of {model} against its MACs, by method"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}"'
        ' font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    y = low_y
    while y <= high_y:
        out.append(f'<path d="M{LEFT} {y_of(y):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y_of(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
        y += step
    for x in sorted({x for x, _ in every}):
        out.append(f'<path d="M{x_of(x):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        out.append(f'<text x="{x_of(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    out.append(f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">MACs, % of the dense model</text>')
    across = (TOP + HEIGHT - BOTTOM) / 2
    out.append(f'<text transform="translate(16 {across}) rotate(-90)" text-anchor="middle">accuracy, %</text>')
    best = sorted(methods.items(), key=lambda method: -method[1][0][1])
    for number, (method, points) in enumerate(best):
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS)]
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>')
        out += [f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
        row = TOP + 12 + 22 * number
        edge = WIDTH - RIGHT + 16
        out.append(f'<path d="M{edge} {row}h22" stroke="{colour}" stroke-width="3"{dashed}/>')
        out.append(f'<text x="{edge + 28}" y="{row + 4}">{escape(method)}</text>')
    out.append("</svg>")
    print("\n".join(out))


if __name__ == "__main__":
    main()
