#!/usr/bin/env python3
"""Prints the functions that the records of ops.def declare, as C++ with their texts as comments: a filter for Doxygen.

usage: ops_for_doxygen.py OPS_DEF
"""
import re
import sys


def functions(text):
    """(name, parameters, comment) of each record. The text is the last of a record's strings, perhaps in several parts."""
    for record in re.split(r"^(?=TWOFOLD_)", text, flags=re.M)[1:]:
        kind, name = re.match(r"TWOFOLD_(UN|BIN)ARY\((\w+),", record).groups()
        parts = re.search(r'((?:"[^"]*"\s*)+)\)\s*(?://[^\n]*\s*|#[^\n]*\s*)*$', record)
        yield name, "Operand x" if kind == "UN" else "Operand a, Operand b", "".join(re.findall(r'"([^"]*)"', parts[1])) if parts else ""


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        print("namespace twofold {")
        for name, parameters, comment in functions(file.read()):
            print(f"/// {comment}\nTensor {name}({parameters});")
        print("}")
