"""The floors of the sources: which folder may include which. sources_test.py holds the sources to it, floors_picture.py draws it."""

CORE, RUNTIME, OP, AUTODIFF = "lib/core", "lib/runtime", "lib/op", "lib/autodiff"
LOW = {CORE, RUNTIME, OP, AUTODIFF}
TOOLKITS = {"lib/nn", "lib/train", "lib/io", "lib/saved"}
FLOORS = {
    CORE: set(),
    RUNTIME: {CORE},
    OP: {CORE, RUNTIME},
    "kernels": {CORE, RUNTIME, OP},
    AUTODIFF: {CORE, RUNTIME, OP, "kernels"},
    "graph": LOW | {"kernels"},
    "eager": LOW | {"kernels"},
    "session/program": LOW | {"kernels", "graph"},
    "session/plan": LOW | {"kernels", "graph", "session/program"},
    "session/run": LOW | {"kernels", "graph", "eager", "session/program", "session/plan"},
    "session": LOW | {"kernels", "graph", "eager", "session/program", "session/plan", "session/run"},
} | {toolkit: LOW | TOOLKITS | {"kernels", "graph", "session"} for toolkit in TOOLKITS}


def floor(path):
    """The floor of a source, by its path from the root."""
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "lib" or (parts[0] == "session" and len(parts) == 3) else parts[0]
