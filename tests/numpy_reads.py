#!/usr/bin/env python3
"""NumPy reads what save_npy and save_npz write: dtypes, shapes and elements.

usage: numpy_reads.py IO_TEST      the program whose case [npy_files] writes the files

Debian's python3 takes the place of one that has no NumPy.
"""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    debian = "/usr/bin/python3"
    if sys.executable != debian and os.path.exists(debian) and not subprocess.call(
            [debian, "-c", "import numpy"], stderr=subprocess.DEVNULL):
        os.execv(debian, [debian, *sys.argv])
    print("skipped: numpy_reads: no NumPy")
    sys.exit()

EXPECTED = {
    "f4": np.array([[1.5, -0.0, 3e38], [1e-45, np.inf, np.nan]], "<f4"),
    "f8": np.array([[0.1, -0.0, 1e308], [5e-324, -np.inf, np.nan]], "<f8"),
    "i4": np.array([[1, -2, 3], [2**31 - 1, -2**31, 0]], "<i4"),
    "i8": np.array([[1, -2, 3], [2**63 - 1, -2**63, 0]], "<i8"),
    "u1": np.array([[0, 1, 2], [127, 128, 255]], "u1"),
    "b1": np.array([[True, False, False], [True, True, False]]),
    "scalar": np.array(2.5),
    "vector": np.arange(5, dtype="<i4"),
    "none": np.zeros((0, 3), "<f4"),
    "eight_axes": np.arange(4, dtype="u1").reshape(1, 2, 1, 1, 2, 1, 1, 1),
}
problems = []


def check(where, name, array):
    expected = EXPECTED[name]
    floats = expected.dtype.kind == "f"
    same = np.array_equal(array, expected, equal_nan=floats) and (not floats or np.array_equal(np.signbit(array), np.signbit(expected)))
    if array.dtype != expected.dtype or array.shape != expected.shape or not same:
        problems.append(f"{where}: {name} is {array!r}, not {expected!r}")


with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.argv[1], "[npy_files]"], env=os.environ | {"TWOFOLD_TEST_NPY": folder}, check=True, stdout=subprocess.DEVNULL)
    for name in EXPECTED:
        check(f"{name}.npy", name, np.load(os.path.join(folder, name + ".npy")))
    for archive in ("stored.npz", "deflated.npz"):
        with np.load(os.path.join(folder, archive)) as file:
            names = [n for n in file.files if n in EXPECTED]
            if sorted(names) != sorted(EXPECTED) or set(file.files) - set(names) != {"layer/\u00e9"}:
                problems.append(f"{archive} has {file.files}")
            for name in names:
                check(archive, name, file[name])
            if file["layer/\u00e9"].tolist() != [7]:
                problems.append(f"{archive} has another value under a name beyond ASCII")
print("\n".join(problems) or f"NumPy {np.__version__} reads {len(EXPECTED)} arrays, three times")
sys.exit(1 if problems else 0)
