// What each op becomes in an ONNX model: one table, an entry for every op of the library. Not installed.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <twofold/graph/graph_data.h>
#include <twofold/lib/op/number.h>
#include <twofold/lib/op/opdef.h>

namespace twofold::onnx_file {
class GraphProto;
class NodeProto;
}  // namespace twofold::onnx_file

namespace twofold::saved {

class OnnxOp;

/// A set of dtypes.
using DTypes = uint8_t;
constexpr DTypes dtypes(std::initializer_list<DType> list) {
  DTypes set = 0;
  for (DType t : list) set = static_cast<DTypes>(set | 1 << static_cast<int>(t));
  return set;
}
inline constexpr DTypes kFloats = dtypes({float32, float64});
inline constexpr DTypes kNumbers = dtypes({float32, float64, int32, int64, uint8});
inline constexpr DTypes kAllDTypes = dtypes({float32, float64, int32, int64, uint8, bool_});
constexpr bool holds(DTypes set, DType t) { return set >> static_cast<int>(t) & 1; }

/// What one op becomes. An op either has `write`, or is one that save_onnx itself turns into what `onnx` names (a body,
/// a constant), or has a reason in `why`.
struct OnnxRule {
  std::string_view op;    ///< OpDef::name
  std::string_view onnx;  ///< ONNX's operators; one alone and with the same inputs, if `write` is onnx_same
  DTypes dtypes = 0;      ///< of its first input, or of its result if it has none
  void (*write)(OnnxOp&) = nullptr;
  std::string_view why = {};  ///< it cannot go
  std::string_view hint = {};
};

/// The table, in families.
std::span<const OnnxRule> onnx_pointwise_rules();
std::span<const OnnxRule> onnx_layout_rules();
std::span<const OnnxRule> onnx_nn_rules();
std::span<const OnnxRule> onnx_other_rules();
/// All of them.
const std::vector<OnnxRule>& onnx_rules();
/// Null for an op that is not in the table.
const OnnxRule* find_onnx_rule(std::string_view op);

/// A small tensor, such as axes.
using OnnxInts = std::vector<int64_t>;
struct OnnxAttribute {
  std::string_view name;
  /// An integer, a floating number, a text, integers, or one number as a tensor of a dtype.
  std::variant<int64_t, float, std::string_view, OnnxInts, std::pair<DType, Number>> value;
};
using OnnxAttributes = std::vector<OnnxAttribute>;
using OnnxNames = std::vector<std::string>;

/// Where nodes and constants go.
class OnnxTarget {
 public:
  /// The name of a vector of integers, or of a number of some dtype: a scalar. Equal ones share one.
  virtual std::string ints(const OnnxInts& values) = 0;
  virtual std::string number(const Number& value, DType dtype) = 0;
  /// A name that nothing in the model has yet: `wanted`, or with a number behind it.
  virtual std::string unique(std::string wanted) = 0;

 protected:
  ~OnnxTarget() = default;
};

/// One op of a function's graph on its way: a rule reads what it is and adds the nodes that it becomes.
class OnnxOp {
 public:
  struct Refused {
    std::string why, hint;
  };
  OnnxOp(const OnnxRule& rule, const GraphData& g, uint32_t id, OnnxNames inputs, onnx_file::GraphProto& to,
         OnnxTarget& target);

  const OnnxRule& rule() const { return rule_; }
  int num_inputs() const { return static_cast<int>(inputs_.size()); }
  /// The name of an input.
  const std::string& in(int i) const { return inputs_[static_cast<size_t>(i)]; }
  const TensorSpec& spec(int i) const { return g_.spec(node_.inputs[static_cast<size_t>(i)]); }
  DType dtype(int i) const { return spec(i).dtype; }
  const Shape& shape(int i) const { return spec(i).shape; }
  const TensorSpec& result(int k = 0) const { return node_.outputs[static_cast<size_t>(k)]; }
  template <class A>
  const A& attrs() const {
    return node_.attrs_view().as<A>();
  }

  /// Adds a node; the name of its first output, or those of `outputs`.
  std::string add(std::string_view type, const OnnxNames& inputs, const OnnxAttributes& attributes = {});
  OnnxNames add_all(std::string_view type, const OnnxNames& inputs, int outputs, const OnnxAttributes& attributes = {});
  /// Result `k` is the value of this name.
  void set(int k, std::string name) { results_[static_cast<size_t>(k)] = std::move(name); }
  void set(std::string name) { set(0, std::move(name)); }
  /// It cannot go as it is.
  [[noreturn]] void refuse(std::string why, std::string hint = {}) const {
    throw Refused{std::move(why), std::move(hint)};
  }

  // What many rules need.
  std::string ints(const OnnxInts& values) { return target_.ints(values); }
  std::string number(const Number& value, DType dtype) { return target_.number(value, dtype); }
  std::string cast(const std::string& name, DType to);
  /// @{
  /// Arithmetic of uint8 and bool is done in int32, which runtimes have kernels for; back in uint8 it wraps, as it does
  /// here.
  static bool is_narrow(DType t) { return t == uint8 || t == bool_; }
  static DType wide(DType t) { return is_narrow(t) ? int32 : t; }
  std::string wide_in(int i) { return is_narrow(dtype(i)) ? cast(in(i), int32) : in(i); }
  void set_narrow(int k, const std::string& name) {
    set(k, is_narrow(result(k).dtype) ? cast(name, result(k).dtype) : name);
  }
  /// @}
  /// The extents of an input in the run, int64.
  std::string shape_of(int i) { return add("Shape", {in(i)}); }
  /// Extent `axis` of an input, a vector of one int64.
  std::string extent_of(int i, int64_t axis);
  /// Vectors of integers one after another; of one it is itself.
  std::string joined(const OnnxNames& parts) {
    return parts.size() == 1 ? parts[0] : add("Concat", parts, {{"axis", int64_t{0}}});
  }
  std::string transposed(const std::string& name, const OnnxInts& permutation) {
    return add("Transpose", {name}, {{"perm", permutation}});
  }
  /// The rank of an input, without which it cannot go.
  int known_rank(int i) const;

  /// Names of the results, those that were given being nodes' of this op; the caller names them.
  const OnnxNames& results() const { return results_; }
  int first_node() const { return first_node_; }

 private:
  const OnnxRule& rule_;
  const GraphData& g_;
  const Node& node_;
  const std::string name_;
  OnnxNames inputs_, results_;
  onnx_file::GraphProto& to_;
  const int first_node_;
  OnnxTarget& target_;
};

/// The operator of the rule's name on the same inputs: as they are, or uint8 as int32.
void onnx_same(OnnxOp&);
void onnx_arithmetic(OnnxOp&);
/// The op's first input.
void onnx_alias(OnnxOp&);

onnx_file::NodeProto& add_onnx_node(onnx_file::GraphProto& to, std::string_view type, const OnnxNames& inputs,
                                    const OnnxNames& outputs, const std::string& name,
                                    const OnnxAttributes& attributes);
/// TensorProto::DataType.
int onnx_dtype(DType t);

}  // namespace twofold::saved
