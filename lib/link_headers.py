#!/usr/bin/env python3
"""Lays BUILD/include/twofold, so that <twofold/lib/op/tensor.h> and <twofold/twofold.h> resolve in the tree as installed.

usage: link_headers.py SOURCE_ROOT BUILD_ROOT
"""
import os
import sys

source, build = sys.argv[1:]
folder = os.path.join(build, "include", "twofold")
os.makedirs(folder, exist_ok=True)
for name, target in [(d, d) for d in ("lib", "graph", "eager", "session", "kernels")] + [("twofold.h", "lib/twofold.h")]:
    link = os.path.join(folder, name)
    wanted = os.path.relpath(os.path.join(source, target), folder)
    if not os.path.islink(link) or os.readlink(link) != wanted:
        if os.path.lexists(link):
            os.remove(link)
        os.symlink(wanted, link)
