#!/usr/bin/env python3
"""Writes the files of safetensors_corpus/, which tests/io/corpus_test.cc reads one by one and the fuzz target begins with.

usage: safetensors_corpus.py      (the folder is the one beside this script; by_reference.safetensors is left alone)

by_reference.safetensors was written by the format's own implementation:
    pip install safetensors numpy
    python3 -c "import numpy as n, safetensors.numpy as s; s.save_file({
        'half': n.array([1, -2, 6e-8, 65504, float('inf')], 'f2'), 'f': n.arange(6, dtype='f4').reshape(2, 3),
        'd': n.array(0.1), 'i': n.array([-1, 2], 'i4'), 'l': n.array([[2**40]], 'i8'), 'u': n.array([0, 255], 'u1'),
        'flag': n.array([True, False]), 'none': n.zeros((0, 3), 'f4')}, 'by_reference.safetensors', {'made': 'elsewhere'})"
"""
import json
import os
import struct

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "safetensors_corpus")
os.makedirs(folder, exist_ok=True)


def write(name, header, data=b"", length=None):
    """`header`: bytes, a text, or what JSON is made from; `length`: what the file says its length is."""
    if not isinstance(header, (bytes, str)):
        header = json.dumps(header)
    if isinstance(header, str):
        header = header.encode()
    with open(os.path.join(folder, name + ".safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(header) if length is None else length) + header + data)


def tensor(dtype, shape, begin, end, **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]} | more


def one(**changes):
    """A file of one tensor 'a', float32 of shape (2,), with fields replaced, or left out where None is given."""
    return {"a": {k: v for k, v in (tensor("F32", [2], 0, 8) | changes).items() if v is not None}}


F2 = struct.pack("<2f", 1, 2)
A = json.dumps(tensor("F32", [2], 0, 8))

# Good ones.
write("empty", {})
write("padded", "{}      ")
write("float32", one(), F2)
write("metadata", {"__metadata__": {"epoch": "3", "é": "\n"}} | one(), F2)
write("all_dtypes", {"f": tensor("F32", [1], 0, 4), "d": tensor("F64", [], 4, 12), "i": tensor("I32", [1, 1], 12, 16),
                     "l": tensor("I64", [1], 16, 24), "u": tensor("U8", [3], 24, 27), "b": tensor("BOOL", [2], 27, 29),
                     "h": tensor("F16", [2], 29, 33), "g": tensor("BF16", [3], 33, 39)},
      struct.pack("<fdiq3B2B", 1.5, 2.5, -3, -4, 5, 6, 7, 1, 0) + struct.pack("<2H3H", 0x3C00, 0x0001, 0x3F80, 0xFF80, 0x7FC0))
write("data_in_another_order", {"b": tensor("U8", [1], 1, 2), "a": tensor("U8", [1], 0, 1)}, b"\1\2")
write("no_elements", {"a": tensor("F32", [0, 3], 0, 0), "b": tensor("U8", [1], 0, 1), "c": tensor("I64", [0], 1, 1)}, b"\7")
write("eight_axes", {"a": tensor("U8", [1, 1, 1, 1, 1, 1, 1, 2], 0, 2)}, b"\1\2")

# Files and lengths.
with open(os.path.join(folder, "nothing.safetensors"), "wb"):
    pass
with open(os.path.join(folder, "seven_bytes.safetensors"), "wb") as f:
    f.write(b"\2\0\0\0\0\0\0")
write("no_header", b"")
write("header_cut", one(), length=1000)
write("header_huge", one(), F2, length=100_000_001)
write("header_length_negative", one(), F2, length=2**64 - 1)
write("data_cut", one(), F2[:7])
write("data_too_long", one(), F2 + b"\0")

# JSON.
write("not_json", "{hello}")
write("not_utf8", b'{"\xff":' + A.encode() + b"}", F2)
write("not_an_object", "[1, 2]")
write("space_first", " {}")
write("byte_order_mark", b"\xef\xbb\xbf{}")
write("zero_byte", b"{}\0{}")
write("two_values", "{}{}")
write("unfinished", '{"a":')
write("nested_deeply", '{"a":' * 300)
write("nested_arrays", '{"a":' + "[" * 300)
write("name_twice", '{"a":%s,"a":%s}' % (A, A), F2)
write("field_twice", '{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', F2)
write("metadata_twice", '{"__metadata__":{},"__metadata__":{}}')
write("metadata_key_twice", '{"__metadata__":{"k":"1","k":"2"}}')
write("metadata_number", {"__metadata__": {"k": 1}})
write("metadata_array", {"__metadata__": ["k"]})

# Fields.
write("tensor_is_number", {"a": 1})
write("no_dtype", one(dtype=None), F2)
write("no_shape", one(shape=None), F2)
write("no_offsets", one(data_offsets=None), F2)
write("field_unknown", one(strides=[1]), F2)
write("dtype_number", one(dtype=32), F2)
write("dtype_unknown", one(dtype="F8_E4M3"), F2)
write("shape_string", one(shape="2"), F2)
write("extent_negative", one(shape=[-2]), F2)
write("extent_fraction", one(shape=[2.0]), F2)
write("extent_beyond_int64", one(shape=[2**63]), F2)
write("extents_overflow", one(shape=[2**62, 2**62, 0]), F2)
write("extents_wrap_to_nothing", one(shape=[2**62, 4], data_offsets=[0, 0]))
write("nine_axes", one(shape=[1] * 8 + [2]), F2)
write("offsets_three", one(data_offsets=[0, 4, 8]), F2)
write("offsets_reversed", one(data_offsets=[8, 0]), F2)
write("offsets_outside", one(data_offsets=[0, 2**64 - 1]), F2)
write("size_wrong", one(shape=[3]), F2)
write("overlap", {"a": tensor("U8", [2], 0, 2), "b": tensor("U8", [2], 1, 3)}, b"123")
write("gap", {"a": tensor("U8", [1], 0, 1), "b": tensor("U8", [1], 2, 3)}, b"123")
write("gap_first", {"a": tensor("U8", [2], 1, 3)}, b"123")
write("bool_of_two", {"a": tensor("BOOL", [3], 0, 3)}, b"\0\1\2")
