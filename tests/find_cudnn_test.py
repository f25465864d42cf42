"""cuDNN is found in each place that NVIDIA, Debian and PyPI put it, and where it is not the answer says where it was looked for.

usage: find_cudnn_test.py kernels/cuda/find_cudnn.py
"""
import os
import subprocess
import sys
import tempfile

script = sys.argv[1]
VERSION = "#define CUDNN_MAJOR 9\n#define CUDNN_MINOR 14\n#define CUDNN_PATCHLEVEL 2\n"
TRIPLE = "x86_64-linux-gnu"
failed = []


def lay(root, include, library):
    """Headers and a library in their folders below `root`."""
    if include:
        os.makedirs(os.path.join(root, include), exist_ok=True)
        for name, text in (("cudnn.h", '#include "cudnn_version.h"\n'), ("cudnn_version.h", VERSION)):
            with open(os.path.join(root, include, name), "w") as file:
                file.write(text)
    if library:
        os.makedirs(os.path.dirname(os.path.join(root, library)), exist_ok=True)
        open(os.path.join(root, library), "w").close()


def trial(name, layouts, expected, environment=lambda root: {}):
    """`expected`: the include folder and the library found, below the scratch folder, or texts of the complaint."""
    with tempfile.TemporaryDirectory() as root:
        root = os.path.realpath(root)
        for include, library in layouts:
            lay(root, include, library)
        keep = {k: v for k, v in os.environ.items() if k not in (
            "CUDNN_PATH", "CUDNN_HOME", "CUDNN_ROOT", "CUDA_PATH", "CUDA_HOME", "PYTHONPATH")}
        made = subprocess.run([sys.executable, script, os.path.join(root, "cuda/bin/nvcc"), TRIPLE, os.path.join(root, "system")]
                              + ([] if "PYTHONPATH" in environment(root) else [os.path.join(root, "site")]),
                              capture_output=True, text=True, env=keep | environment(root))
        if isinstance(expected, tuple):
            wanted = [os.path.join(root, expected[0]), os.path.join(root, expected[1]), "9.14.2"]
            good = made.returncode == 0 and made.stdout.split() == wanted
        else:
            good = made.returncode == 1 and all(text in made.stdout for text in expected)
        if not good:
            failed.append(f"{name}: {made.returncode} {made.stdout}{made.stderr}")


NVIDIA = (f"system/usr/include/{TRIPLE}", f"system/usr/lib/{TRIPLE}/libcudnn.so")
TOOLKIT = ("cuda/include", "cuda/lib64/libcudnn.so")
PYPI = ("site/nvidia/cudnn/include", "site/nvidia/cudnn/lib/libcudnn.so.9")
in_site = lambda root: {"PYTHONPATH": os.path.join(root, "site")}  # noqa: E731
trial("NVIDIA's packages", [NVIDIA], NVIDIA)
trial("headers that alternatives link to /usr/include", [("system/usr/include", NVIDIA[1])], ("system/usr/include", NVIDIA[1]))
trial("the library alone with its number", [(NVIDIA[0], NVIDIA[1] + ".9")], (NVIDIA[0], NVIDIA[1] + ".9"))
trial("the toolkit's folder", [TOOLKIT], TOOLKIT)
trial("the toolkit's targets", [("cuda/targets/x86_64-linux/include", "cuda/targets/x86_64-linux/lib/libcudnn.so")],
      ("cuda/targets/x86_64-linux/include", "cuda/targets/x86_64-linux/lib/libcudnn.so"))
trial("PyPI's, where Python looks", [PYPI], PYPI, in_site)
trial("PyPI's, in a folder that is given", [PYPI], PYPI)
trial("CUDNN_PATH", [("mine/include", "mine/lib/libcudnn.so.9")], ("mine/include", "mine/lib/libcudnn.so.9"),
      lambda root: {"CUDNN_PATH": os.path.join(root, "mine")})
trial("CUDA_PATH", [("mine/include", "mine/lib64/libcudnn.so")], ("mine/include", "mine/lib64/libcudnn.so"),
      lambda root: {"CUDA_PATH": os.path.join(root, "mine")})
trial("CUDNN_PATH before all", [NVIDIA, TOOLKIT, PYPI, ("mine/include", "mine/lib/libcudnn.so")],
      ("mine/include", "mine/lib/libcudnn.so"),
      lambda root: in_site(root) | {"CUDNN_PATH": os.path.join(root, "mine")})
trial("one that is whole before one that lacks its library", [(TOOLKIT[0], None), NVIDIA], NVIDIA)
trial("none", [], ["no cudnn.h in ", f"system/usr/include/{TRIPLE}", "CUDNN_PATH"])
trial("headers alone", [(NVIDIA[0], None)], [f"system/usr/include/{TRIPLE}, but libcudnn.so is not beside them"])

print("\n".join(failed) or "cuDNN is found in all its places")
sys.exit(1 if failed else 0)
