#!/usr/bin/env python3
"""Holds what is shown of the article against the facts, tests/data/article/facts.md.

usage: facts_test.py FACTS ARTICLE MYCONV DOCUMENT...

Checks that the demo ARTICLE shows the article's own print of every snippet, its times and its parameters; that MYCONV shows its
losses beside its own, and its times; and that the DOCUMENTs have the same, and claim nothing that is not so.
"""
import re
import subprocess
import sys

facts_path, article, myconv, *documents = sys.argv[1:]
problems = []
checks = 0


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        problems.append(what)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def rows(text, columns):
    """The cells of a Markdown table's rows that have so many columns, header and rule left out."""
    lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [cells for cells in lines if len(cells) == columns and not set(cells[0]) <= set("-")][1:]


facts = read(facts_path)
losses = rows(facts.split("## Losses")[1].split("## The classes")[0], 5)
times = rows(facts.split("## Times")[1].split("## Losses")[0], 4)
classes = re.findall(r"\d+", facts.split("prints at its end")[1].split("So the article")[0])
if len(losses) != 20 or len(times) != 4 or len(classes) != 128:
    sys.exit(f"{facts_path}: {len(losses)} losses, {len(times)} times and {len(classes)} classes were found in it")


def seconds(text):
    number, unit = text.split()
    return float(number) / (1000 if unit == "ms" else 1)


shown = subprocess.run([article], capture_output=True, text=True, check=True).stdout
for printed in ("<tf.Variable ... shape()>", "[0.5]", "tensor(3)", "51415306", "23808", f"{len(classes)}\nrandom classes"):
    check(printed in shown, f"the demo `article` does not show {printed}")
for name, *columns in times:
    for value in map(seconds, columns):
        check(re.search(rf"(?<![\d.]){value:.3g}(?!\d)", shown), f"the demo `article` does not show {value:.3g} s of {name}")

source = read(re.sub(r"facts_test\.py$", "facts.h", __file__))
for step, *of_runs in losses:
    for loss in of_runs:
        check(f'"{loss}"' in source, f"facts.h lacks the loss {loss} of step {step}")
in_source = re.search(r"kClasses\[\] = \{(.*?)\}", source, re.S)
check(in_source and re.findall(r"\d+", in_source.group(1)) == classes, "facts.h has other classes")
full = subprocess.run([myconv, "--device", "both", "--mode", "eager"], capture_output=True, text=True, check=True).stdout
table = full[full.index("The article's four runs"):]
expected = [losses_of_run for losses_of_run in zip(*[row[1:] for row in losses])]
shown_runs = re.findall(r"(?:CPU|GPU)(?: traced)?", table.split("\n\n")[1].splitlines()[0])
order = ["CPU", "CPU traced", "GPU", "GPU traced"]
check(shown_runs and "CPU" in shown_runs, f"myconv's table has the runs {shown_runs}")
for run in shown_runs:
    for step, loss in enumerate(expected[order.index(run)], 1):
        line = re.search(rf"^{step} .*$", table, re.M)
        check(line and loss in line.group(0).split(), f"myconv does not show {loss}, step {step} of {run}")
    wall, user, system = (re.search(rf"^{what}, s.*$", table, re.M) for what in ("wall", "user CPU", "system CPU"))
    u, s, w = map(seconds, times[order.index(run)][1:])
    for line, value in ((wall, w), (user, u), (system, s)):
        check(line and f"{value:.3g}" in line.group(0).split(), f"myconv does not show {value:.3g} s of {run}")

for path in documents:
    text = read(path)
    if path.endswith("article.md"):
        for step, *of_runs in losses:
            check(any(cells == [step, *of_runs] for cells in rows(text, 5)), f"{path} lacks the losses of step {step}")
        for printed in ("<tf.Variable ... shape()>", "[0.5]", "tensor(3)", "51,415,306", "23,808"):
            check(printed in text, f"{path} does not show {printed}")
        for _, *columns in times:
            for value in columns:
                check(value in text, f"{path} does not show {value}")
        check(", ".join(classes[:8]) in text, f"{path} does not show the classes")
    for wrong in ("classes, which it does not give", "It concludes that", "concludes that the traced", "are not reproduced, step by step"):
        check(wrong not in text and wrong not in shown, f"{path} or the demo claims: {wrong}")

print("\n".join(problems))
print(f"{checks} checks, {len(problems)} failed")
sys.exit(1 if problems else 0)
