"""Writes numpy_prints.inc: arrays and how NumPy prints them.

    python3 numpy_prints.py > numpy_prints.inc      (with NumPy 2.4)

Array texts are str(array) as NumPy gives it. Texts of scalars lack the ".0" that NumPy puts behind whole numbers.
"""

import itertools

import numpy as np

FLOATS = ("float32", "float64")
INTEGERS = ("int32", "int64", "uint8", "bool")


def shaped(shape):
    return "Shape{" + ", ".join(str(d) for d in shape) + "}"


def floating(v):
    v = float(v)
    if np.isnan(v):
        return "kNan"
    if np.isinf(v):
        return "kInf" if v > 0 else "-kInf"
    return v.hex()


def text_of(array):
    text = str(array)
    if array.ndim == 0 and text.endswith(".0"):
        text = text[:-2]
    return text


def emit(array, step=None):
    """One case; with `step` = (start, step), element i is start + i * step and is not written out."""
    dtype = "bool_" if array.dtype == bool else array.dtype.name
    if step:
        values = "ramp(%s, %s, %d)" % (floating(step[0]), floating(step[1]), array.size)
    elif array.dtype.kind == "f":
        values = "floats({%s})" % ", ".join(floating(v) for v in array.ravel())
    else:
        values = "integers({%s})" % ", ".join(integer(v) for v in array.ravel())
    print('{%s, %s, %s, R"(%s)"},' % (dtype, shaped(array.shape), values, text_of(array)))


def integer(v):
    v = int(v)
    return "INT64_MIN" if v == -(2**63) else str(v) + ("L" if abs(v) >= 2**31 else "")


def ramp(dtype, shape, start, step):
    size = int(np.prod(shape))
    values = start + np.arange(size, dtype=np.float64) * step
    emit(values.astype(dtype).reshape(shape), (start, step))


SCALARS = [0.0, -0.0, 1.0, 5.0, -5.0, 0.5, 0.1, -0.25, 1 / 3, 2 / 3, 1e-4, 9.9e-5, 1e-5, 1.5e-7, 123456.0, 1e6, 1234567.0,
           16777216.0, 16777217.0, 123456789.0, 9007199254740993.0, 1e15, 9.9e15, 1e16, 1.5e16, 1e20, -2.5e-20, 3.4e38, 1e-38,
           1e-45, np.inf, -np.inf, np.nan, 3.14159265358979, 100.0, 1e2 + 1e-3]

LISTS = [
    [1.0], [1.0, 2.0, 3.0], [1.5, 2.0], [0.1, 0.2, 0.3], [-1.0, 1.0], [-1.5, 22.25, 3.0], [0.0, -0.0], [1e-4, 1.0], [1e-4, 0.05],
    [9e-5, 1e-3], [1.0, 1000.0], [1.0, 1001.0], [0.5, 501.0], [999999.0, 1e5], [1e6, 1e5], [1e7, 1e6], [1e8, 2e8], [99999999.0, 1e6],
    [1e10, 1.0], [1e100, 1.0], [1e-100, 1e100], [1e-5, 2e-5], [1.5e-10], [np.nan], [np.inf], [-np.inf], [np.nan, 1.0], [np.inf, -1.0],
    [-np.inf, 1.0], [np.nan, np.inf, -np.inf, 0.0], [np.nan, 1e10], [-np.inf, 1e-10, 1.0], [1 / 3, 2 / 3], [1 / 3, 100 / 3],
    [1 / 3, 1000 / 3, 1e5 / 3], [3.14159265358979, 2.718281828459045], [0.1 + 0.2, 0.3], [1.00000001, 1.0], [1.000000001, 1.0],
    [0.123456789, 0.987654321], [12345.678, 1.5], [1234.5678, 2.25], [0.30000001192092896, 0.1], [2.0 ** -k for k in range(12)],
    [2.0 ** k for k in range(28)], [1e-3 * k for k in range(11)], [0.0] * 5, [1e-8, 0.0], [123456.7, 0.0], [5e-324, 1.0],
    [1.7976931348623157e308, 1.0], [0.00012345678, 0.1], [0.5, 0.125, 0.0625], [0.999999999, 1.0], [9.9999999999, 1.0],
    [0.000012345678912, 1.0], [33333.333333333, 66.6666666666], [1e5 + 0.1, 100.0], [1.17549435e-38, 1.0], [3.4028235e38, 1.0],
]

INTEGER_LISTS = [[0], [1, 2, 3], [-1, 10], [100, -5, 7], [7] * 30, list(range(60)), [2**31 - 1, -(2**31)], [2**63 - 1, 0],
                 [-(2**63), 1], [255, 0, 9], [1, 0, 1]]


def main():
    rng = np.random.default_rng(20240607)
    print("// Made by numpy_prints.py with NumPy %s. Do not edit." % np.__version__)
    print("// clang-format off")
    with np.errstate(all="ignore"):
        for dtype, v in itertools.product(FLOATS, SCALARS):
            emit(np.array(v, dtype))
        for dtype, v in [("int32", -7), ("int64", 2**40), ("uint8", 200), ("bool", 1), ("bool", 0)]:
            emit(np.array(v, dtype))
        for dtype, values in itertools.product(FLOATS, LISTS):
            emit(np.array(values, dtype))
        for values in INTEGER_LISTS:
            for dtype in INTEGERS:
                if dtype == "bool" or all(np.iinfo(dtype).min <= v <= np.iinfo(dtype).max for v in values):
                    emit(np.array(values, dtype))
        for dtype, shape in itertools.product(("float32", "int64", "bool"), [(0,), (0, 3), (2, 0), (1, 1, 0)]):
            emit(np.zeros(shape, dtype))
        for dtype, shape in itertools.product(FLOATS, [(1,), (23,), (1, 1), (2, 3), (3, 1, 4), (2, 2, 2), (1, 2, 1, 3), (4, 9), (2, 13)]):
            emit(rng.standard_normal(shape).astype(dtype))
            emit((rng.standard_normal(shape) * 10.0 ** rng.integers(-7, 7, shape)).astype(dtype))
        for shape in [(5,), (26,), (2, 30), (2, 2, 3), (3, 1, 1, 2)]:
            emit(rng.integers(-1000, 1000, shape).astype("int32"))
            emit(rng.integers(0, 256, shape).astype("uint8"))
            emit(rng.integers(0, 2, shape).astype("bool"))
    for dtype, shape, start, step in [
        ("int32", (1000,), 0, 1), ("int32", (1001,), 0, 1), ("float32", (1001,), 0, 1), ("float32", (2000,), 0, 0.5),
        ("float64", (1200,), -3, 0.125), ("float64", (3000,), 1e-9, 1), ("int64", (40, 40), -800, 1), ("float32", (7, 200), 0, 0.25),
        ("float32", (200, 7), 0, 0.25), ("float32", (200, 6), 0, 0.25), ("int32", (12, 10, 11), 0, 1), ("int32", (3, 400), 0, 1),
        ("float64", (8, 8, 8, 8), 0, 1), ("float32", (1, 1, 1001), 1, 1), ("uint8", (1500,), 0, 0.125), ("float64", (100, 1, 100), 0, 1e-3),
        ("float32", (1001, 1), 1, 0)]:
        ramp(dtype, shape, start, step)


main()
