"""One program with tf::trace and with PyTorch's tracer: where code has an `if` on values, the first gives what running
the code gives, the second goes on with the branch that it saw.

usage: trace_beside_pytorch.py PROGRAM SOURCE
  PROGRAM  of tests/trace_beside_pytorch.cc
What PyTorch prints is tests/data/trace/pytorch.txt, or asked of it where it is installed.
"""
import importlib.util
import os
import re
import subprocess
import sys

program, source = sys.argv[1:]
data = os.path.join(source, "tests/data/trace")


def results(text):
    """{"program": [[6.0, 8.0], [3.0, 4.0]]}"""
    lines = [line.split(" ", 1) for line in text.splitlines()]
    return {name: [[float(v) for v in part.split(", ")] for part in re.findall(r"\[(.*?)\]", rest)] for name, rest in lines}


# What the code gives when it is run: each function on the example's kind of input, then on another.
expected = {
    "program": [[3.0 * 2, 4.0 * 2], [3.0, 4.0]],
    "scaled": [[2.0 / 2, 4.0 / 2], [3.0 / 3, 6.0 / 3, 9.0 / 3]],
    "repeated": [[0.0 + 2], [0.0 + 5]],
}
if importlib.util.find_spec("torch"):
    text = subprocess.run([sys.executable, os.path.join(data, "pytorch.py")], check=True, capture_output=True, text=True).stdout
else:
    text = open(os.path.join(data, "pytorch.txt")).read()
ours = results(subprocess.run([program], check=True, capture_output=True, text=True).stdout)
theirs = results(text)
faults = 0
for name, values in expected.items():
    print(f"{name}: twofold {ours[name]}, PyTorch {theirs[name]}, the code {values}")
    faults += ours[name] != values
    faults += theirs[name][0] != values[0]
wrong = [name for name in expected if theirs[name] != expected[name]]
print("PyTorch goes on with what it saw in", ", ".join(wrong))
sys.exit(1 if faults or wrong != ["program", "repeated"] else 0)
