#!/usr/bin/env python3
"""Writes the files of npy_corpus/, which tests/io/npy_test.cc reads one by one and the fuzz target begins with.

usage: npy_corpus.py      (needs NumPy; the folder is the one beside this script)

good_*: what NumPy wrote, and in names what of. ours_*: those that save_npy and save_npz are to write to the byte. The others are
made by hand: what NumPy has and the library does not, and what is damaged.
"""
import io
import os
import struct
import zipfile
import zlib

import numpy as np
from numpy.lib import format as npy

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "npy_corpus")
os.makedirs(folder, exist_ok=True)


def put(name, data):
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def saved(array, version=None):
    out = io.BytesIO()
    npy.write_array(out, np.asanyarray(array), version=version)
    return out.getvalue()


VALUES = {"f4": [1.5, -0.0, 3e38, 1e-45, np.inf, np.nan], "f8": [0.1, -0.0, 1e308, 5e-324, -np.inf, np.nan],
          "i4": [1, -2, 3, 2**31 - 1, -2**31, 0], "i8": [1, -2, 3, 2**63 - 1, -2**63, 0], "u1": [0, 1, 2, 127, 128, 255],
          "b1": [True, False, False, True, True, False]}

for code, values in VALUES.items():
    for order in "<>" if code not in ("u1", "b1") else "|":
        array = np.array(values, order + code)
        end = {"<": "little", ">": "big", "|": "bytes"}[order]
        put(f"good_{code}_{end}.npy", saved(array.reshape(2, 3)))
        put(f"good_{code}_{end}_fortran.npy", saved(np.asfortranarray(array.reshape(2, 3))))
    put(f"ours_{code}.npy", saved(np.array(values, code).reshape(2, 3)))
put("ours_scalar.npy", saved(np.array(2.5, "f8")))
put("ours_vector.npy", saved(np.arange(5, dtype="i4")))
put("ours_none.npy", saved(np.zeros((0, 3), "f4")))
put("ours_eight_axes.npy", saved(np.arange(4, dtype="u1").reshape(1, 2, 1, 1, 2, 1, 1, 1)))
put("good_three_axes_fortran.npy", saved(np.asfortranarray(np.arange(24, dtype="i4").reshape(2, 3, 4))))
put("good_none_fortran.npy", saved(np.zeros((3, 0, 2), "f8", order="F")))
put("good_version_2.npy", saved(np.arange(6, dtype="<i4").reshape(2, 3), (2, 0)))
put("good_version_3.npy", saved(np.arange(6, dtype="<i4").reshape(2, 3), (3, 0)))


def made(header, data=b"", version=(1, 0), length=None):
    """A .npy file with this text for a header."""
    text = header.encode("latin1") + b"\n"
    n = len(text) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", n) + text + data


def about(descr="'<i4'", order="False", shape="(2,)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


I2 = struct.pack("<2i", 1, 2)
# Spelled otherwise than NumPy does, but right.
put("good_by_hand_python_2.npy", made("{'shape': (2L,), 'fortran_order': False, 'descr': '<i4'}", I2))
put("good_by_hand_quotes.npy", made('{"descr":"=i4","fortran_order":False,"shape":(2,)}', I2))

# What NumPy has and the library does not.
for name, dtype in {"float16": "f2", "longdouble": "g", "int8": "i1", "int16": "i2", "uint16": "u2", "uint32": "u4", "uint64": "u8",
                    "complex64": "c8", "complex128": "c16", "clongdouble": "G", "bytes": "S3", "str": "U2", "void": "V2",
                    "datetime64": "M8[s]", "timedelta64": "m8[us]"}.items():
    put(f"foreign_{name}.npy", saved(np.zeros(2, dtype)))
put("foreign_object.npy", saved(np.array([None, 1], dtype=object)))
put("foreign_structured.npy", saved(np.zeros(2, [("x", "f4"), ("y", "i4", (2,))])))
put("foreign_nine_axes.npy", saved(np.zeros((1,) * 9, "u1")))

# Damaged.
put("bad_nothing.npy", b"")
put("bad_seven_bytes.npy", b"\x93NUMPY\1")
put("bad_magic.npy", b"\x92NUMPY" + saved(np.zeros(2))[6:])
put("bad_version.npy", made(about(), I2, (4, 0)))
put("bad_version_minor.npy", made(about(), I2, (1, 1)))
put("bad_length_cut.npy", b"\x93NUMPY\1\0\7")
put("bad_header_cut.npy", made(about(), b"", length=999))
put("bad_header_huge.npy", made(about(), b" " * 100, (2, 0), length=2**32 - 1))
put("bad_header_empty.npy", made(""))
put("bad_header_unfinished.npy", made("{'descr': '<i4'"))
put("bad_header_text_unfinished.npy", made("{'descr': '<i4"))
put("bad_header_more.npy", made(about() + " x", I2))
put("bad_header_not_a_dict.npy", made("('descr', )"))
put("bad_no_descr.npy", made("{'fortran_order': False, 'shape': (2,), }", I2))
put("bad_no_order.npy", made("{'descr': '<i4', 'shape': (2,), }", I2))
put("bad_no_shape.npy", made("{'descr': '<i4', 'fortran_order': False}", I2))
put("bad_descr_twice.npy", made("{'descr': '<i4', 'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", I2))
put("bad_key_unknown.npy", made("{'descr': '<i4', 'strides': (4,), 'fortran_order': False, 'shape': (2,), }", I2))
put("bad_dtype.npy", made(about("'<q9'"), I2))
put("bad_dtype_number.npy", made(about("4"), I2))
put("bad_order.npy", made(about(order="1"), I2))
put("bad_shape_number.npy", made(about(shape="(2)"), I2))
put("bad_shape_list.npy", made(about(shape="[2]"), I2))
put("bad_extent_negative.npy", made(about(shape="(-2,)"), I2))
put("bad_extent_fraction.npy", made(about(shape="(2.,)"), I2))
put("bad_extent_beyond_int64.npy", made(about(shape=f"({2**63},)"), I2))
put("bad_extents_overflow.npy", made(about(shape=f"({2**62}, 4)")))
put("bad_data_cut.npy", made(about(), I2[:-1]))
put("bad_data_too_long.npy", made(about(), I2 + b"\0"))
put("bad_bool_of_two.npy", made(about("'|b1'", shape="(3,)"), b"\0\1\2"))


def zipped(entries, compression=zipfile.ZIP_STORED):
    """An archive of entries with the time that save_npz gives them."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as z:
        for name, data in entries:
            z.writestr(zipfile.ZipInfo(name), data, compression)
    return out.getvalue()


X, Y = np.arange(6, dtype="f4").reshape(2, 3), np.array([[True], [False]])
for name, save in {"stored": np.savez, "deflated": np.savez_compressed}.items():
    out = io.BytesIO()
    save(out, X, big=np.zeros((10, 10)), **{"layer/é": Y})
    put(f"good_{name}.npz", out.getvalue())
out = io.BytesIO()
np.savez(out)
put("ours_nothing.npz", out.getvalue())

# As if it had more than 2^32 bytes: sizes and places in fields of 64 bits, and an end of 64 bits.
x = saved(X)
extra = struct.pack("<2H3Q", 1, 24, len(x), len(x), 0)
local = struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 33, zlib.crc32(x), 0xFFFFFFFF, 0xFFFFFFFF, 5, 20) + b"x.npy" + extra[:2] + \
    struct.pack("<H2Q", 16, len(x), len(x))
central = struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 0, 0, 33, zlib.crc32(x), 0xFFFFFFFF, 0xFFFFFFFF, 5, len(extra), 0, 0, 0, 0,
                      0xFFFFFFFF) + b"x.npy" + extra


def end64(count):
    at = len(local) + len(x)
    return struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(central), at) + \
        struct.pack("<4sIQI", b"PK\6\7", 0, at + len(central), 1) + \
        struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)


put("good_zip64.npz", local + x + central + end64(1))
put("bad_zip64_count.npz", local + x + central + end64(2**40))
put("bad_zip64_count_two.npz", local + x + central + end64(2))

stored, deflated = zipped([("x.npy", x)]), zipped([("x.npy", saved(np.zeros(1000)))], zipfile.ZIP_DEFLATED)
put("bad_npz_is_npy.npz", x)
put("bad_npy_is_npz.npy", stored)
put("bad_nothing.npz", b"")
put("bad_cut.npz", stored[:-30])
put("bad_data_flipped.npz", stored.replace(x[-8:], x[-8:-1] + b"\x7f"))
put("bad_deflated_flipped.npz", deflated[:70] + bytes([deflated[70] ^ 0x55]) + deflated[71:])
put("bad_name_twice.npz", zipped([("x.npy", x), ("x.npy", x)]))
put("bad_not_an_array.npz", zipped([("x.npy", x), ("archive/data.pkl", b"x")]))
put("bad_entry_is_no_npy.npz", zipped([("x.npy", b"something else")]))
put("foreign_float16.npz", zipped([("x.npy", saved(np.zeros(2, "f2")))]))
put("foreign_bzip2.npz", zipped([("x.npy", x)], zipfile.ZIP_BZIP2))


def patched(archive, signature, at, value):
    """With four bytes replaced in the header that begins with the signature."""
    begin = archive.rindex(signature) + at
    return archive[:begin] + struct.pack("<I", value) + archive[begin + 4:]


# An entry that says it is larger than its bytes can make it, in both of its headers.
bomb = patched(patched(deflated, b"PK\1\2", 24, 2**31), b"PK\3\4", 22, 2**31)
put("bad_bomb.npz", bomb)
# The dtype and shape take more than the archive says.
put("bad_size.npz", zipped([("x.npy", made(about(shape="(1000000000,)"), I2))]))
# The bytes of one entry, with its header, are the elements of another.
inner = zipped([("y.npy", saved(np.zeros(1000, "u1")))])
inner, inner_entry = inner[:inner.index(b"PK\1\2")], inner[inner.index(b"PK\1\2"):inner.index(b"PK\5\6")]
outer = zipped([("x.npy", saved(np.frombuffer(inner, "u1")))])
at, end_at = outer.index(b"PK\1\2"), outer.rindex(b"PK\5\6")
directory = outer[at:end_at] + patched(inner_entry, b"PK\1\2", 42, outer.index(inner))
put("bad_shared_bytes.npz", outer[:at] + directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2, 2, len(directory), at, 0))
