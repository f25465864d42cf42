#!/usr/bin/env python3
"""Checks docs/adding-an-op.md: its change is as small as promised, applies to the tree, and what it makes compiles: the op's
function, record and gradient rule, its CPU kernels, and a program that calls it.

usage: op_lesson.py SOURCE_ROOT BUILD_ROOT
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

source, build = map(os.path.abspath, sys.argv[1:])
MOST_FILES, MOST_LINES = 2, 15


def give_up(why):
    print(f"test cases: 1 | 1 failed\n{why}")
    sys.exit(1)


def apply(diff, root):
    """Inserts the diff's new lines after the line that stands before them; returns the files and the number of lines."""
    files, added, path, before, place = [], 0, None, None, None
    for line in diff.splitlines():
        if line.startswith("+++ b/"):
            path, before = line[6:], None
            files.append(path)
        elif path and line.startswith(" "):
            before = line[1:]
            with open(os.path.join(root, path)) as file:
                lines = file.read().split("\n")
            if lines.count(before) != 1:
                give_up(f"{path} has {lines.count(before)} lines like: {before}")
            place = lines.index(before) + 1
        elif path and line.startswith("+"):
            if before is None:
                give_up(f"no line says where in {path} this goes: {line}")
            with open(os.path.join(root, path)) as file:
                lines = file.read().split("\n")
            lines.insert(place, line[1:])
            with open(os.path.join(root, path), "w") as file:
                file.write("\n".join(lines))
            place += 1
            added += 1
    return files, added


with open(os.path.join(source, "docs/adding-an-op.md")) as lesson:
    diff = re.search(r"^```diff\n(.*?)^```$", lesson.read(), re.M | re.S).group(1)
with tempfile.TemporaryDirectory() as scratch:
    shutil.copytree(os.path.join(source, "kernels"), os.path.join(scratch, "kernels"))
    files, added = apply(diff, scratch)
    if not 0 < len(files) <= MOST_FILES or not 0 < added <= MOST_LINES:
        give_up(f"the change touches {len(files)} files and {added} lines")

    headers = os.path.join(scratch, "include", "twofold")
    os.makedirs(headers)
    for name in os.listdir(os.path.join(build, "include", "twofold")):
        target = os.path.realpath(os.path.join(build, "include", "twofold", name))
        os.symlink(os.path.join(scratch, "kernels") if name == "kernels" else target, os.path.join(headers, name))

    def compile_copy(path, arguments):
        command = arguments + ["-fsyntax-only", os.path.join(scratch, path)]
        made = subprocess.run(command, capture_output=True, text=True, cwd=build)
        if made.returncode:
            give_up(f"{path}:\n{made.stderr}")

    with open(os.path.join(build, "compile_commands.json")) as file:
        commands = json.load(file)
    for path in ["kernels/pointwise/pointwise.cc", "kernels/pointwise/tiles_float32_cpu.cc"]:
        entry = next(c for c in commands if c["file"].endswith(path))
        words = [w for w in shlex.split(entry["command"]) if w != "ccache" and not w.endswith(path)]
        kept = [w for i, w in enumerate(words) if w not in ("-c", "-o", "-MD", "-MQ", "-MF") and words[i - 1] not in ("-o", "-MQ", "-MF")]
        compile_copy(path, [w.replace(os.path.join(build, "include"), os.path.join(scratch, "include")) for w in kept])
    with open(os.path.join(scratch, "program.cc"), "w") as file:
        file.write("#include <twofold/twofold.h>\n"
                   "int main() { return twofold::softsign(twofold::tensor(1.f)).item<float>() == 0.5f ? 0 : 1; }\n")
    compile_copy("program.cc", ["g++", "-std=c++20", "-I" + os.path.join(scratch, "include")])
print(f"All tests passed ({added} lines of {len(files)} files in 1 test case)")
