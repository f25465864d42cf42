// Ops that only a graph has, and the attributes they carry.
#pragma once

#include <string>

#include <twofold/graph/graph_data.h>
#include <twofold/kernels/layout/transfer.h>
#include <twofold/kernels/variable/variable_ops.h>
#include <twofold/lib/op/value.h>

namespace twofold {

/// A constant's value; equal values (to the bit) are equal attributes.
struct ConstantValue {
  Tensor tensor;
  friend bool operator==(const ConstantValue& a, const ConstantValue& b);
};
uint64_t hash_field(const ConstantValue& v);
std::string print_field(const ConstantValue& v);
void perturb_field(ConstantValue& v);
inline FieldValue to_field(const ConstantValue& v) { return {v.tensor}; }
inline void from_field(const FieldValue& f, ConstantValue& v) { v.tensor = f.as<Tensor>(); }

struct ConstantAttrs {
  ConstantValue value;
  TWOFOLD_FIELDS(value)
};
struct PlaceholderAttrs {
  DType dtype = float32;
  Shape shape;
  TWOFOLD_FIELDS(dtype, shape)
};
struct CaptureAttrs {
  int64_t index = 0;  ///< among the body's captures
  TWOFOLD_FIELDS(index)
};
struct ParameterAttrs {
  int64_t index = 0;  ///< among the body's parameters
  TWOFOLD_FIELDS(index)
};
struct PrintAttrs {
  std::string message;
  TWOFOLD_FIELDS(message)
};

struct AssertAttrs {
  std::string message;
  TWOFOLD_FIELDS(message)
};

extern OpDef constant_op, placeholder_op, variable_op, no_op_op, capture_op, parameter_op, print_op, assert_op,
    with_effects_op;

/// Adds a constant node to `g`; returns its id.
uint32_t add_constant(GraphData& g, const Tensor& value, std::string_view name, std::source_location where);

/// A concrete value as a constant of the current graph.
Tensor graph_constant(const Tensor& value, const std::string& name, std::source_location where);

/// What an op gives that hands on `x` and has done the rest now: another tensor than x, as in a graph. Eager mode shows
/// it to observers.
Tensor done_now(const OpDef& op, const Tensor& x, std::source_location where);

/// Throws InvalidArgument "assertion failed: [message] [data] ..." unless inputs[0] is true; the rest is data.
void check_assertion(const std::string& message, std::span<const Tensor* const> inputs);

/// What printing a tensor writes: the message and its elements, to the end of the line.
std::string print_line(const std::string& message, const Tensor& value);
/// Writes whole lines to standard output; those of concurrent runs do not mix.
void write_lines(const std::string& lines);

}  // namespace twofold
