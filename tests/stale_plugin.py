#!/usr/bin/env python3
"""A plugin that was built from other sources than the library is refused in words, and never called.

usage: stale_plugin.py BUILD
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

build = sys.argv[1]
with open(os.path.join(build, "kernels", "abi.cc")) as f:
    number = int(re.search(r"return (0x[0-9a-f]+);", f.read()).group(1), 16).to_bytes(8, "little")

with tempfile.TemporaryDirectory() as folder:
    # A copy of a program and of the library, beside which lie plugins whose number is another.
    for name in ("tests", "kernels"):
        os.mkdir(os.path.join(folder, name))
    library = os.path.join(build, "libtwofold.so")
    shutil.copy(os.path.realpath(library), os.path.join(folder, os.readlink(library)))  # the link has the name it is loaded by
    program = shutil.copy(os.path.join(build, "tests", "semantics_test"), os.path.join(folder, "tests"))
    for plugin in glob.glob(os.path.join(build, "kernels", "twofold_cpu_*.so")):
        with open(plugin, "rb") as f:
            content = f.read()
        assert content.count(number) == 1, f"{plugin} does not hold the number of its table once"
        with open(os.path.join(folder, "kernels", os.path.basename(plugin)), "wb") as f:
            f.write(content.replace(number, bytes(b ^ 0xFF for b in number)))
    own = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}  # which names the build's own library
    run = subprocess.run([program, "4.*"], capture_output=True, text=True, timeout=120, env=own)
    said = run.stdout + run.stderr
    assert run.returncode != 0, "kernels of a stale plugin were used"
    for words in ("was built from other sources than the library", "No CPU kernels could be loaded"):
        assert words in said, f"no '{words}' in:\n{said}"
    fresh = subprocess.run([os.path.join(build, "tests", "semantics_test"), "4.*"], capture_output=True, text=True,
                           timeout=120)
    assert fresh.returncode == 0, fresh.stdout + fresh.stderr
print("refused")
