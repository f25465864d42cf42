#!/usr/bin/env python3
"""Checks that docs/ops.md names every function that <twofold/twofold.h> gives to programs, and none that is not there.

usage: function_index.py SOURCE_ROOT BUILD_ROOT

Functions are read from the headers: what is declared at the left margin within the namespaces that programs use. In the document they
are the `code` in the first column of its tables.
"""
import os
import re
import sys

# For the library's own floors, though they stand in headers that programs include.
OWN = set("""
  adagrad_update adam_update allocate check_gradient_arguments copy_of current_random_generation deallocate eager_random_state
  execution_id fail fail_at gaussian gelu_grad hash_field home_of if_arrived line_of new_random_body next_eager_random_counter
  next_random_key numerics_word parse_device perturb_field pointwise_records pop_profiler_range print_field
  profiler_ranges_wanted push_profiler_range random_key_of relu_grad resolve_all rmsprop_update set_eager_random_counter
  set_eager_random_state sgd_update silu_grad sum_slices train::assign_all train::read_all vjp
""".split())
NAMESPACES = {"twofold": "", "twofold::nn": "nn::", "twofold::train": "train::", "twofold::io": "io::"}
# The name may stand on a line of its own, below what is returned.
DECLARATION = re.compile(r"^(?:(?:\[\[.*?\]\] )*(?:(?:inline|constexpr) )*(?:[\w:]+(?:<.*>)?(?:::\w+)?|decltype\(auto\))[ &*]+)?(?!decltype)([a-z]\w+)\(")
# Included by those that twofold.h names.
NESTED = ["lib/op/tensor.h", "lib/op/thread_state.h"]


def headers(source, build):
    """What twofold.h includes, one level deep and two for ops.h: the headers of ops."""
    direct = re.findall(r"#include <twofold/([\w/.]+)>", open(os.path.join(source, "lib/twofold.h")).read())
    for name in direct:
        if name == "ops.h":
            yield from re.findall(r"#include <twofold/([\w/.]+)>", open(os.path.join(build, "include/twofold/ops.h")).read())
        else:
            yield name
    yield from NESTED


def functions_in(text):
    namespaces = []  # open ones: name, depth of braces within
    depth = 0
    for line in text.split("\n"):
        line = re.sub(r"\"(?:\\.|[^\"\\])*\"|'.'|//.*", "", line)
        if opened := re.match(r"namespace ([\w:]+) \{", line):
            namespaces.append((opened.group(1), depth + 1))
        elif (declared := DECLARATION.match(line)) and not line.startswith(("return", "using", "else", "typedef", "extern", "requires", "static_assert")):
            prefix = NAMESPACES.get("::".join(name for name, _ in namespaces))
            function = declared.group(1)
            if prefix is not None and prefix + function not in OWN and not function.startswith("register_"):
                yield prefix + function
        depth += line.count("{") - line.count("}")
        while namespaces and depth < namespaces[-1][1]:
            namespaces.pop()


source, build = sys.argv[1:]
found = set()
for name in headers(source, build):
    with open(os.path.join(source, name)) as header:
        found |= set(functions_in(header.read()))
with open(os.path.join(source, "kernels/pointwise/ops.def")) as ops:
    found |= set(re.findall(r"^TWOFOLD_(?:UNARY|BINARY)\((\w+)", ops.read(), re.M)) - OWN
with open(os.path.join(source, "docs/ops.md")) as document:
    cells = re.findall(r"^\| (`[^|]*?) \|", document.read(), re.M)
named = {re.sub(r"\(.*", "", code) for cell in cells for code in re.findall(r"`([^`]+)`", cell)}
for name in sorted(found - named):
    print(f"docs/ops.md does not name {name}")
for name in sorted(named - found):
    print(f"docs/ops.md names {name}, which no header declares")
print(f"{len(found & named)} functions are in the headers and in docs/ops.md")
sys.exit(1 if found != named else 0)
