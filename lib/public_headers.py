#!/usr/bin/env python3
"""Lists the headers that <twofold/twofold.h> includes, directly or not: those that are installed.

usage: public_headers.py BUILD_ROOT      prints one path a line, as in <twofold/PATH>, without those written by the build
"""
import os
import re
import sys

folder = os.path.join(sys.argv[1], "include", "twofold")
found, waiting = set(), ["twofold.h"]
while waiting:
    path = waiting.pop()
    if path in found:
        continue
    found.add(path)
    with open(os.path.join(folder, path)) as file:
        waiting += re.findall(r"^#include <twofold/(.*)>", file.read(), re.M)
print("\n".join(sorted(found - {"twofold.h", "ops.h"})))
