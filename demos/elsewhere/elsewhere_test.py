#!/usr/bin/env python3
"""Runs the first and the second process of the demo `elsewhere` on small nets: the second must come to the same bits.

usage: elsewhere_test.py FIRST SECOND [DEVICE]
"""
import os
import subprocess
import sys
import tempfile

first, second, *device = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    program, expected = os.path.join(folder, "program.safetensors"), os.path.join(folder, "expected.safetensors")
    for net in ("article", "full"):
        options = ["--net", net, "--batch", "4", "--hidden", "16", "--steps", "2", "--program", program, "--expected", expected]
        on = ["--device", device[0]] if device else []
        subprocess.run([first, *options, *on], check=True)
        said = subprocess.run([second, program, expected, *on], check=True, stdout=subprocess.PIPE, text=True).stdout
        print(said)
        assert "12 of 12 tensors are equal to the bit" in said, said
        assert "predict(x: float32 (?, 3, 28, 28))" in said, said
