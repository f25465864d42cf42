#!/usr/bin/env python3
"""Checks docs/adding-an-op.md: its change is as small as promised, is in the tree word for word, applies to the tree without
it, and gives the op with all that the lesson promises. What depends on the two files is compiled anew and linked with the rest of the build; then a program calls
the op, its gradients, eager and in a session, and the tests of all ops find it by its record.

usage: op_lesson.py SOURCE_ROOT BUILD_ROOT
"""
import concurrent.futures
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
# What reads functors.h and ops.def, in the library and in a plugin.
LIBRARY = ["pointwise.cc"]
PLUGIN = ["pointwise_cpu.cc", "tiles_float32_cpu.cc", "tiles_float64_cpu.cc", "tiles_scalar_cpu.cc"]
PROGRAM = """
#include <twofold/twofold.h>
#include <iostream>
namespace tf = twofold;
int main() {
  const auto program = [] {
    const tf::Tensor x = tf::constant({1.f, -3.f});
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    const tf::Tensor y = tf::softsign(x), dx = tape.gradient(y, x);
    return std::array{y, dx, tape.gradient(dx, x)};
  };
  for (const tf::Tensor& t : tf::eagerly(program)) std::cout << t << ' ';
  for (const tf::Tensor& t : tf::Session().run(program())) std::cout << t << ' ';
}
"""
PRINTS = "[ 0.5  -0.75] [0.25   0.0625] [-0.25     0.03125] " * 2


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


def take_out(diff, root):
    """Removes the diff's new lines from the files."""
    path = None
    for line in diff.splitlines():
        if line.startswith("+++ b/"):
            path = os.path.join(root, line[6:])
        elif path and line.startswith("+"):
            with open(path) as file:
                lines = file.read().split("\n")
            if lines.count(line[1:]) != 1:
                give_up(f"{path} has {lines.count(line[1:])} lines like: {line[1:]}")
            lines.remove(line[1:])
            with open(path, "w") as file:
                file.write("\n".join(lines))


def run(what, command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        give_up(f"{what}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


with open(os.path.join(source, "docs/adding-an-op.md")) as lesson:
    diff = re.search(r"^```diff\n(.*?)^```$", lesson.read(), re.M | re.S).group(1)
with open(os.path.join(build, "compile_commands.json")) as file:
    commands = json.load(file)

with tempfile.TemporaryDirectory() as scratch:
    shutil.copytree(os.path.join(source, "kernels"), os.path.join(scratch, "kernels"))
    take_out(diff, scratch)
    files, added = apply(diff, scratch)
    if not 0 < len(files) <= MOST_FILES or not 0 < added <= MOST_LINES:
        give_up(f"the change touches {len(files)} files and {added} lines")
    include = os.path.join(scratch, "include")
    os.makedirs(os.path.join(include, "twofold"))
    for name in os.listdir(os.path.join(build, "include", "twofold")):
        target = os.path.realpath(os.path.join(build, "include", "twofold", name))
        os.symlink(os.path.join(scratch, "kernels") if name == "kernels" else target, os.path.join(include, "twofold", name))

    plugin = next(t for t in ("kernels/twofold_cpu_v3.so", "kernels/twofold_cpu_v2.so", "kernels/twofold_cpu_v4.so")
                  if os.path.exists(os.path.join(build, t)))
    library = os.path.basename(os.path.realpath(os.path.join(build, "libtwofold.so")))
    made = {}  # object of the build: the one compiled anew

    def compile_copy(name, target):
        entry = next(c for c in commands if c["file"].endswith("pointwise/" + name) and c["output"].startswith(target + ".p"))
        words = shlex.split(entry["command"].replace(os.path.join(build, "include"), include))
        words[words.index("-o") + 1] = made[entry["output"]] = os.path.join(scratch, name + ".o")
        words[-1] = os.path.join(scratch, "kernels/pointwise", name)
        for flag in ("-MQ", "-MF"):
            words[words.index(flag) + 1] = os.path.join(scratch, name + ".d")
        run(name, words, cwd=build)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_copy, LIBRARY + PLUGIN, [library] * len(LIBRARY) + [plugin] * len(PLUGIN)))
    for target in (library, plugin):
        link = run("ninja", ["ninja", "-C", build, "-t", "commands", target]).splitlines()[-1]
        words = [made.get(w, w) for w in shlex.split(link)]
        words[words.index("-o") + 1] = os.path.join(scratch, os.path.basename(target))
        run(target, words, cwd=build)

    environment = os.environ | {"LD_PRELOAD": os.path.join(scratch, library), "TWOFOLD_PLUGINS": scratch,
                                "TWOFOLD_ISA": re.search(r"v\d", plugin).group()}
    with open(os.path.join(scratch, "program.cc"), "w") as file:
        file.write(PROGRAM)
    program = os.path.join(scratch, "program")
    run("program.cc", ["g++", "-std=c++20", "-I" + include, program + ".cc", "-o", program, os.path.join(scratch, library)])
    printed = run("the program", [program], env=environment)
    if printed != PRINTS:
        give_up(f"the program prints\n{printed}\nnot\n{PRINTS}")
    # Those that go through the records; the others are of ops that the lesson leaves alone.
    by_record = "Every op*,Every pointwise op*,Pointwise ops treat*,First and second gradients*,Gradients give*"
    tests = run("the tests of ops", [os.path.join(build, "tests/ops_test"), "-s", by_record], env=environment)
    if "softsign" not in tests.lower():
        give_up("the tests of ops did not find softsign")
print(f"All tests passed ({added} lines of {len(files)} files in 1 test case)")
