#!/usr/bin/env python3
"""Finds cuDNN's header and library, wherever its makers put them.

usage: find_cudnn.py NVCC [TRIPLE [SYSTEM [FOLDER...]]]     prints the include folder, the library and the version, a line each

Looked through in this order; the first that has both counts:
  $CUDNN_PATH, $CUDNN_HOME, $CUDNN_ROOT     a folder with include/ and lib/ (or lib64/)
  $CUDA_PATH, $CUDA_HOME, the toolkit that NVCC is of     the same
  SYSTEM/usr/include, with the folder of TRIPLE (x86_64-linux-gnu) or not     NVIDIA's and Debian's packages
  nvidia/cudnn in each FOLDER, or else where Python looks for modules     nvidia-cudnn-cu13 and its like from PyPI
Exits with 1, and says where it has looked, if none has.
"""
import glob
import os
import re
import shutil
import site
import subprocess
import sys

nvcc = sys.argv[1]
triple = sys.argv[2] if len(sys.argv) > 2 else "x86_64-linux-gnu"
system = sys.argv[3] if len(sys.argv) > 3 else "/"


def header_version(include):
    """9.14.0, or None where the folder lacks cuDNN's headers."""
    if not os.path.exists(os.path.join(include, "cudnn.h")):
        return None
    for name in ("cudnn_version.h", "cudnn.h"):
        path = os.path.join(include, name)
        if os.path.exists(path):
            with open(path, errors="replace") as file:
                found = dict(re.findall(r"^#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) (\d+)", file.read(), re.M))
            if len(found) == 3:
                return ".".join(found[part] for part in ("MAJOR", "MINOR", "PATCHLEVEL"))
    return None


def library(folders, version):
    """libcudnn.so, or that of the headers' major version, as packages without a -dev part and PyPI's have it."""
    for folder in folders:
        for name in ("libcudnn.so", f"libcudnn.so.{version.split('.')[0]}"):
            path = os.path.join(folder, name)
            if os.path.exists(path):
                return path
    return None


def python_folders():
    """Where this Python and the one that PATH names first, which may be a virtual environment's, look for modules."""
    folders = list(sys.path) + site.getsitepackages() + [site.getusersitepackages()]
    other = shutil.which("python3")
    if other and os.path.realpath(other) != os.path.realpath(sys.executable):
        asked = subprocess.run([other, "-c", "import sys; print('\\n'.join(sys.path))"], capture_output=True, text=True)
        folders += asked.stdout.split("\n")
    return [folder for folder in dict.fromkeys(folders) if folder]


places = []  # (include folder, library folders)
for root in [os.environ.get(v) for v in ("CUDNN_PATH", "CUDNN_HOME", "CUDNN_ROOT", "CUDA_PATH", "CUDA_HOME")] + [
        os.path.dirname(os.path.dirname(os.path.realpath(nvcc)))]:
    if root:
        libraries = [os.path.join(root, lib) for lib in ("lib64", "lib", os.path.join("lib", triple))]
        includes = [os.path.join(root, "include")] + glob.glob(os.path.join(root, "targets", "*", "include"))
        places += [(include, libraries + [os.path.join(os.path.dirname(include), "lib")]) for include in includes]
for include in ("include/" + triple, "include", "local/include"):
    places.append((os.path.join(system, "usr", include),
                   [os.path.join(system, "usr", lib) for lib in ("lib/" + triple, "lib64", "lib", "local/lib")]))
for folder in sys.argv[4:] or python_folders():
    root = os.path.join(folder, "nvidia", "cudnn")
    if os.path.isdir(root):
        places.append((os.path.join(root, "include"), [os.path.join(root, "lib")]))

headers_without_library = []
for include, folders in places:
    version = header_version(include)
    if version is None:
        continue
    path = library(folders, version)
    if path:
        print(include, path, version, sep="\n")
        sys.exit()
    headers_without_library.append(include)

looked = ", ".join(dict.fromkeys(include for include, _ in places))
if headers_without_library:
    print(f"cuDNN's headers are in {', '.join(dict.fromkeys(headers_without_library))}, but libcudnn.so is not beside them")
else:
    print(f"no cudnn.h in {looked}, nor nvidia/cudnn among Python's modules; CUDNN_PATH can name its folder")
sys.exit(1)
