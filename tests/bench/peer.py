"""What the peers' processes have in common: requests come as lines of JSON, answers go as lines of JSON.

A process answers many requests, so that what it compiles once is compiled once. Its own output goes to standard error.
"""
import json
import os
import sys
import time


def serve(answer):
    """answer(request) gives an object; where it raises, the answer is {"error": ...}."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as e:
            reply = {"error": f"{type(e).__name__}: {str(e)[:300]}"}
        print(json.dumps(reply), file=replies, flush=True)


def time_steps(step, read, wait, steps, warm_up):
    """Milliseconds of each step with its loss read, and of a step without, when the device is done with all of them."""
    for _ in range(warm_up):
        step()
    wait()
    step_ms = []
    for _ in range(steps):
        begin = time.perf_counter()
        read(step())
        step_ms.append(1e3 * (time.perf_counter() - begin))
    wait()
    begin = time.perf_counter()
    for _ in range(steps):
        loss = step()
    wait()
    return {"step_ms": step_ms, "unread_ms": 1e3 * (time.perf_counter() - begin) / steps, "loss": read(loss)}


def time_additions(add, wait, rounds=7, times=20000):
    """Nanoseconds of one, for each round."""
    add_ns = []
    for i in range(rounds + 1):
        wait()
        begin = time.perf_counter()
        for _ in range(times):
            add()
        wait()
        if i:  # the first is a warm-up
            add_ns.append(1e9 * (time.perf_counter() - begin) / times)
    return {"add_ns": add_ns}
