#!/usr/bin/env python3
"""Draws docs/figures/floors.svg, the picture in docs/architecture.md, from the table in floors.py.

usage: floors_picture.py [--update] SVG     without --update: checks that SVG is what would be drawn

The picture's rule: a box may include every box that lies below it within its own width, and no other. HOUSE says where boxes lie;
that this rule then gives exactly the table is checked before anything is drawn.
"""
import sys
from html import escape

from floors import FLOORS, TOOLKITS

ROOF, TOOLS, EMPTY = "lib/twofold.h", "toolkits", ""
# From the top, one row a line, in three columns. A box is all cells of one name.
HOUSE = [
    (ROOF, ROOF, ROOF),
    (TOOLS, EMPTY, EMPTY),
    ("session", "session", "session"),
    ("session", "session/run", "session/run"),
    ("session", "session/plan", "eager"),
    ("session", "session/program", "eager"),
    ("graph", "graph", "eager"),
    ("lib/autodiff",) * 3,
    ("kernels",) * 3,
    ("lib/op",) * 3,
    ("lib/runtime",) * 3,
    ("lib/core",) * 3,
]
# What is written into each box under its name; "|" ends a line.
WHAT = {
    ROOF: "the one header that programs include",
    TOOLS: "",
    "session": "what a user holds:|Session,|Callable, step,|state",
    "session/run": "executors, frames",
    "session/plan": "a plan, the planner",
    "session/program": "cut out; passes",
    "graph": "nodes, names, control flow",
    "eager": "computes|at once;|tapes",
    "lib/autodiff": "the gradient engine of both modes",
    "kernels": "ops, each one whole: shape, gradient, CPU, GPU",
    "lib/op": "OpDef, Tensor, Variable, apply, launch",
    "lib/runtime": "devices, memory, plugins, threads, ledger",
    "lib/core": "dtype, shape, error",
}
COLUMNS = [0, 124, 262, 344]  # where columns begin, and the last ends
ROW, GAP, MARGIN = 44, 2, 8
WIDTH = COLUMNS[-1] + 2 * MARGIN
HEIGHT = ROW * len(HOUSE) + 2 * MARGIN


def floors_of(box):
    return sorted(TOOLKITS) if box == TOOLS else [box]


def boxes():
    return list(dict.fromkeys(name for row in HOUSE for name in row if name))


def below(box):
    """The boxes that lie below `box`, within its width."""
    found = set()
    for r, row in enumerate(HOUSE):
        for c, name in enumerate(row):
            if name == box:
                found |= {HOUSE[i][c] for i in range(r + 1, len(HOUSE))} - {box, EMPTY}
    return found


def check_house():
    """What the picture would say that the table does not."""
    problems = []
    drawn = {f for box in boxes() for f in floors_of(box)} - {ROOF}
    if drawn != set(FLOORS):
        problems.append(f"drawn and in the table differ by {sorted(drawn ^ set(FLOORS))}: see HOUSE")
    if below(ROOF) != set(boxes()) - {ROOF}:
        problems.append("the roof must cover all")
    for box in set(boxes()) - {ROOF}:
        says = {f for b in below(box) | {box} for f in floors_of(b)}
        for f in floors_of(box):
            for other in sorted((says ^ FLOORS.get(f, set())) - {f}):
                problems.append(f"the picture says that {f} {'may' if other in says else 'may not'} include {other}; the table, the opposite")
    return problems


def at(r, c):
    return HOUSE[r][c] if 0 <= r < len(HOUSE) and 0 <= c < len(HOUSE[r]) else None


def cell(r, c):
    """A cell's rectangle, and its outline where another box or none begins."""
    name = at(r, c)
    left, top, right, bottom = [at(r + dr, c + dc) != name for dr, dc in ((0, -1), (-1, 0), (0, 1), (1, 0))]
    x0, x1 = MARGIN + COLUMNS[c], MARGIN + COLUMNS[c + 1]
    y0, y1 = MARGIN + ROW * r, MARGIN + ROW * (r + 1)
    fill = (x0 + GAP * left, y0 + GAP * top, x1 - GAP * right, y1 - GAP * bottom)
    # A line goes on a little where its box does, to meet the next one at an inner corner.
    l, t, r_, b = (fill[0] - GAP * (not left), fill[1] - GAP * (not top), fill[2] + GAP * (not right), fill[3] + GAP * (not bottom))
    lines = []
    if left:
        lines.append(f"M{fill[0]} {t}V{b}")
    if top:
        lines.append(f"M{l} {fill[1]}H{r_}")
    if right:
        lines.append(f"M{fill[2]} {t}V{b}")
    if bottom:
        lines.append(f"M{l} {fill[3]}H{r_}")
    return fill, "".join(lines)


def kind(box):
    return {"graph": "deferred", "eager": "eager"}.get(box, "deferred" if box.startswith("session/") else "both")


def texts(box):
    """Lines (x, y, class, text) of a box, in its first cell and down from there."""
    r, c = next((r, c) for r, row in enumerate(HOUSE) for c, name in enumerate(row) if name == box)
    names = floors_of(box)
    names = [("code", "  ".join(names[i : i + 2])) for i in range(0, len(names), 2)]
    lines = names + [("what", line) for line in WHAT[box].split("|") if line]
    return [(MARGIN + COLUMNS[c] + 9, MARGIN + ROW * r + 18 + 17 * i, style, text) for i, (style, text) in enumerate(lines)]


def describe():
    parts = []
    for box in boxes():
        names = ", ".join(sorted(f for b in below(box) for f in floors_of(b)))
        parts.append(f"{' and '.join(floors_of(box))}: {names or 'nothing'}.")
    return " ".join(parts)


def draw():
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * 4 // 3}" height="{HEIGHT * 4 // 3}" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'role="img" aria-labelledby="title text">',
           '  <!-- Drawn by tests/floors_picture.py from the table in tests/floors.py. -->',
           '  <title id="title">The floors: a folder may include what lies below it, within its own width</title>',
           f'  <desc id="text">What each may include. {escape(describe())}</desc>',
           '''  <style>
    .page { fill: #ffffff; }
    .both { fill: #f6f8fa; }
    .deferred { fill: #ddf4ff; }
    .eager { fill: #dafbe1; }
    .edge { stroke: #57606a; fill: none; }
    rect { shape-rendering: crispEdges; }
    text { fill: #1f2328; font: 13.2px "DejaVu Sans", Helvetica, Arial, sans-serif; }
    .code { font: 600 13.2px "DejaVu Sans Mono", Consolas, Menlo, monospace; }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117; }
      .both { fill: #161b22; }
      .deferred { fill: #0c2d6b; }
      .eager { fill: #033a16; }
      .edge { stroke: #8b949e; }
      text { fill: #e6edf3; }
    }
  </style>''',
           f'  <rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="8"/>']
    for box in boxes():
        outline = ""
        for r, row in enumerate(HOUSE):
            for c, name in enumerate(row):
                if name != box:
                    continue
                (x0, y0, x1, y1), lines = cell(r, c)
                out.append(f'  <rect class="{kind(box)}" x="{x0}" y="{y0}" width="{x1 - x0}" height="{y1 - y0}"/>')
                outline += lines
        out.append(f'  <path class="edge" d="{outline}"/>')
        out += [f'  <text class="{style}" x="{x}" y="{y}">{escape(text)}</text>' for x, y, style, text in texts(box)]
    legend = MARGIN + COLUMNS[1] + 9
    for i, line in enumerate(("A folder may include what lies", "below it, within its own width.")):
        out.append(f'  <text x="{legend}" y="{MARGIN + ROW + 18 + 17 * i}">{line}</text>')
    return "\n".join(out) + "\n</svg>\n"


def main():
    path = sys.argv[-1]
    problems = check_house()
    if not problems and "--update" in sys.argv:
        with open(path, "w") as file:
            file.write(draw())
    elif not problems:
        with open(path) as file:
            if file.read() != draw():
                problems.append(f"{path} is not what {sys.argv[0]} draws: run it with --update")
    print("\n".join(problems) or "the picture shows the table")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
