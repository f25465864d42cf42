#!/usr/bin/env python3
"""Compiles and runs the programs in Markdown files and compares what they print.

usage: docs.py [--update] BUILD_ROOT FILE...

A ```cpp block is a program if it has a main(), else statements of one. The ```text block after it, before the next ```cpp
block, is what it prints; without one it must only run, in a folder of its own. Each pair is a test case. --update writes the
text blocks anew.
"""
import os
import re
import subprocess
import sys
import tempfile

arguments = sys.argv[1:]
update = arguments[:1] == ["--update"]
build, *files = map(os.path.abspath, arguments[update:])
BLOCK = re.compile(r"^```(cpp|text)\n(.*?)^```$", re.M | re.S)
MARK = "\x01block\n"
PROLOGUE = """#include <twofold/twofold.h>
#include <array>
#include <iostream>
#include <tuple>
#include <vector>
namespace tf = twofold;
namespace nn = twofold::nn;
namespace train = twofold::train;
using tf::Tensor;
"""


def run(name, source, folder):
    """What the program prints, or None and the compiler's or its own complaint."""
    path = os.path.join(folder, name + ".cc")
    with open(path, "w") as file:
        file.write(source)
    program = os.path.join(folder, name)
    command = ["g++", "-std=c++20", "-Wall", "-Wextra", "-Wno-unused", "-I" + os.path.join(build, "include"), path, "-o", program,
               "-L" + build, "-ltwofold", "-Wl,-rpath," + build]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode or "warning:" in made.stderr:
        return None, made.stderr
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, cwd=folder)
    return (done.stdout, "") if done.returncode == 0 else (None, f"exit status {done.returncode}\n{done.stdout}{done.stderr}")


def outputs(name, document, blocks, folder):
    """Of each ```cpp block, (what it printed, complaint). Blocks that are statements share one program."""
    results = {}
    statements = []
    for i, block in enumerate(blocks):
        if block.group(1) != "cpp":
            continue
        line = document.count("\n", 0, block.start(2)) + 1
        code = f'#line {line} "{name}"\n{block.group(2)}'
        if re.search(r"\bmain\(", code):
            results[i] = run(f"program{i}", code, folder)
        else:
            statements.append((i, code))
    if statements:
        source = PROLOGUE
        for i, code in statements:
            source += f"static void block{i}() {{\n{code}}}\n"
        source += "int main() {\n"
        for i, _ in statements:
            source += f'  {{ tf::Graph g; const auto scope = g.as_default(); std::cout << "{MARK[0]}block\\n"; block{i}(); }}\n'
        printed, complaint = run("statements", source + "}\n", folder)
        parts = printed.split(MARK)[1:] if printed is not None else [None] * len(statements)
        for (i, _), part in zip(statements, parts):
            results[i] = part, complaint
    return results


passed = failed = 0
for path in files:
    with open(path) as file:
        document = file.read()
    blocks = list(BLOCK.finditer(document))
    with tempfile.TemporaryDirectory() as folder:
        results = outputs(os.path.basename(path), document, blocks, folder)
    edits = []
    for i, (printed, complaint) in sorted(results.items()):
        after = blocks[i + 1] if i + 1 < len(blocks) and blocks[i + 1].group(1) == "text" else None
        if printed is not None and (after is None or printed == after.group(2)):
            passed += 1
            continue
        if update and printed is not None:
            edits.append((after.start(2), after.end(2), printed))
        failed += 1
        where = f"{path}:{document.count(chr(10), 0, blocks[i].start()) + 1}"
        wanted = f"\n-- the text says\n{after.group(2)}" if after else ""
        print(f"{where}: " + (complaint if printed is None else f"it prints\n{printed}{wanted}"))
    for start, end, text in reversed(edits):
        document = document[:start] + text + document[end:]
    if edits:
        with open(path, "w") as file:
            file.write(document)

if failed:
    print(f"test cases: {passed + failed} | {passed} passed | {failed} failed")
else:
    print(f"All tests passed ({passed} programs in {passed} test cases)")
sys.exit(1 if failed or not passed else 0)
