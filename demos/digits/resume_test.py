#!/usr/bin/env python3
"""A run that is stopped in the middle of an epoch and resumed ends with the checkpoint of one that went straight through,
byte for byte, whatever the modes of both parts; and what cannot be resumed is refused.

usage: resume_test.py DIGITS     DIGITS: the demo's program
"""
import json
import os
import subprocess
import sys
import tempfile

digits = os.path.abspath(sys.argv[1])
SMALL = ["--train", "300", "--test", "100", "--batch", "25", "--epochs", "2", "--expect", "0"]
WAYS = [["--mode", "eager"], ["--mode", "deferred", "--optimize", "off"], ["--mode", "deferred", "--optimize", "on"]]
problems = []


def run(*options, small=SMALL):
    return subprocess.run([digits, *small, *options], capture_output=True, text=True)


def must(*options, **how):
    result = run(*options, **how)
    if result.returncode:
        problems.append(f"{' '.join(options)} failed: {result.stderr}")


def refused(words, *options, **how):
    result = run(*options, **how)
    if result.returncode == 0 or words not in result.stdout + result.stderr:
        problems.append(f"{' '.join(options)} should be refused with '{words}'; it gave {result.returncode}: {result.stderr}")


def contents(path):
    if not os.path.exists(path):
        return path + " is missing"
    with open(path, "rb") as f:
        return f.read()


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    # 12 steps an epoch: 17 is in the second, 5 in the first, where nothing was tested yet.
    for number, way in enumerate(WAYS):
        must(*way, "--checkpoint", f"straight{number}")
        must(*way, "--checkpoint", f"stopped{number}", "--stop-after", "17")
        if contents(f"straight{number}") != contents("straight0"):
            problems.append(f"{way} ends with another checkpoint than {WAYS[0]}")
        if contents(f"stopped{number}") != contents("stopped0"):
            problems.append(f"{way} stops with another checkpoint than {WAYS[0]}")
    for first, before in enumerate(WAYS):
        for after in WAYS:
            must(*after, "--resume", f"stopped{first}", "--checkpoint", "resumed")
            if contents("resumed") != contents("straight0"):
                problems.append(f"stopped in {before} and resumed in {after}, a run ends with another checkpoint")
            os.remove("resumed")

    # Twice, from the file that is being written, with checkpoints between, with data from files and other threads.
    must("--make", "data")
    must("--mode", "eager", "--checkpoint", "twice", "--checkpoint-every", "2", "--stop-after", "5")
    must("--mode", "deferred", "--checkpoint", "twice", "--resume", "twice", "--data", "data", "--stop-after", "12")
    must("--checkpoint", "twice", "--resume", "twice", "--threads", "1")
    if contents("twice") != contents("straight0"):
        problems.append("a run in three parts ends with another checkpoint")
    must("--resume", "twice")  # nothing is left to do

    # The digits drawn are the same everywhere.
    must("--mode", "eager", "--json", "numbers")
    fingerprint = json.loads(contents("numbers"))["data"]
    if fingerprint != "ba440abedaee103f":
        problems.append(f"the digits drawn have the fingerprint {fingerprint}")

    refused("absent", "--resume", "absent")
    refused("seed: the checkpoint has '1', this run '2'", "--resume", "stopped0", "--seed", "2")
    refused("epochs: the checkpoint has '2', this run '3'", "--resume", "stopped0", "--epochs", "3", small=SMALL[:6])
    with open("data/t10k-labels-idx1-ubyte", "r+b") as f:
        f.seek(8)
        label = f.read(1)[0]
        f.seek(8)
        f.write(bytes([9 - label]))
    refused("data: the checkpoint has", "--resume", "stopped0", "--data", "data")
    refused("is a checkpoint of another run", "--resume", "stopped0", "--data", "data")
    os.truncate("stopped0", os.path.getsize("stopped0") - 4)
    refused("DataLoss", "--resume", "stopped0")
    refused("needs --checkpoint", "--stop-after", "3")
    refused("the checkpoint is of step 17", "--resume", "stopped1", "--checkpoint", "out", "--stop-after", "17")
    refused("2 epochs have 24 steps", "--checkpoint", "out", "--stop-after", "25")
    refused("--optimize is about deferred mode", "--mode", "eager", "--optimize", "on")
    refused("give one of them", "--make", "data", "--data", "data")
    os.truncate("data/train-images-idx3-ubyte", 1000)
    refused("984 bytes follow the header", "--data", "data")
    refused("train-images-idx3-ubyte': No such file", "--data", folder)
    refused("but 100.00% are expected", "--expect", "1", small=SMALL[:8])

print("\n".join(problems) or "resumed runs end where straight ones do")
sys.exit(1 if problems else 0)
