// The table as a whole, what rules are made of, and its entries for machinery, state, random numbers and gradients.
#include <twofold/lib/saved/onnx_rules.h>

#include <unordered_map>

#include "lib/onnx_subset.pb.h"

namespace twofold::saved {

int onnx_dtype(DType t) {
  using T = onnx_file::TensorProto;
  switch (t) {
    case DType::float32: return T::FLOAT;
    case DType::float64: return T::DOUBLE;
    case DType::int32: return T::INT32;
    case DType::int64: return T::INT64;
    case DType::uint8: return T::UINT8;
    case DType::boolean: return T::BOOL;
    case DType::list: break;
  }
  return T::UNDEFINED;
}

onnx_file::NodeProto& add_onnx_node(onnx_file::GraphProto& to, std::string_view type, const OnnxNames& inputs,
                                    const OnnxNames& outputs, const std::string& name,
                                    const OnnxAttributes& attributes) {
  using A = onnx_file::AttributeProto;
  onnx_file::NodeProto& node = *to.add_node();
  node.set_op_type(std::string(type));
  node.set_name(name);
  for (const std::string& i : inputs) node.add_input(i);
  for (const std::string& o : outputs) node.add_output(o);
  for (const OnnxAttribute& attribute : attributes) {
    A& a = *node.add_attribute();
    a.set_name(std::string(attribute.name));
    std::visit(
        [&]<class T>(const T& v) {
          if constexpr (std::is_same_v<T, int64_t>) {
            a.set_i(v), a.set_type(A::INT);
          } else if constexpr (std::is_same_v<T, float>) {
            a.set_f(v), a.set_type(A::FLOAT);
          } else if constexpr (std::is_same_v<T, std::string_view>) {
            a.set_s(std::string(v)), a.set_type(A::STRING);
          } else if constexpr (std::is_same_v<T, OnnxInts>) {
            for (int64_t i : v) a.add_ints(i);
            a.set_type(A::INTS);
          } else {
            a.set_type(A::TENSOR);
            a.mutable_t()->set_data_type(onnx_dtype(v.first));
            a.mutable_t()->add_dims(1);
            dispatch(v.first, [&]<class E>(E) {
              const E element = v.second.template as<E>();
              a.mutable_t()->set_raw_data(&element, sizeof element);
            });
          }
        },
        attribute.value);
  }
  return node;
}

OnnxOp::OnnxOp(const OnnxRule& rule, const GraphData& g, uint32_t id, OnnxNames inputs, onnx_file::GraphProto& to,
               OnnxTarget& target)
    : rule_(rule),
      g_(g),
      node_(g.node(id)),
      name_(g.node_name(id)),
      inputs_(std::move(inputs)),
      results_(node_.outputs.size()),
      to_(to),
      first_node_(to.node_size()),
      target_(target) {}

OnnxNames OnnxOp::add_all(std::string_view type, const OnnxNames& inputs, int outputs,
                          const OnnxAttributes& attributes) {
  OnnxNames made;
  for (int i = 0; i < outputs; ++i) made.push_back(target_.unique(name_ + "/" + std::string(type)));
  add_onnx_node(to_, type, inputs, made, made[0], attributes);
  return made;
}
std::string OnnxOp::add(std::string_view type, const OnnxNames& inputs, const OnnxAttributes& attributes) {
  return add_all(type, inputs, 1, attributes)[0];
}

std::string OnnxOp::cast(const std::string& name, DType to) {
  return add("Cast", {name}, {{"to", static_cast<int64_t>(onnx_dtype(to))}});
}

std::string OnnxOp::extent_of(int i, int64_t axis) {
  OnnxAttributes part{{"start", axis}};
  if (axis != -1) part.push_back({"end", axis + 1});
  return add("Shape", {in(i)}, part);
}

int OnnxOp::known_rank(int i) const {
  if (!shape(i).has_rank()) refuse("ONNX wants to know the rank of its operand", "tf::ensure_shape(x, {-1, -1})");
  return shape(i).rank();
}

void onnx_same(OnnxOp& c) {
  OnnxNames inputs;
  for (int i = 0; i < c.num_inputs(); ++i) inputs.push_back(c.in(i));
  c.set(c.add(c.rule().onnx, inputs));
}
void onnx_arithmetic(OnnxOp& c) {
  OnnxNames inputs;
  for (int i = 0; i < c.num_inputs(); ++i) inputs.push_back(c.wide_in(i));
  c.set_narrow(0, c.add(c.rule().onnx, inputs));
}
void onnx_alias(OnnxOp& c) { c.set(c.in(0)); }

namespace {

constexpr std::string_view kGradient = "it belongs to gradients, and ONNX models are for inference";
constexpr std::string_view kUpdates = "it changes a variable, and an ONNX model has no state";
constexpr std::string_view kDraws = "it draws numbers, which would be others in another runtime";
constexpr std::string_view kEvaluate = "net.eval() before the function is traced, or pass the numbers as an argument";
constexpr std::string_view kLists = "it works on a list of tensors, for which save_onnx has no rule";
constexpr std::string_view kStack =
    "tf::while_loop over tensors of fixed shapes in place of TensorArray, scan and map_fn";
constexpr std::string_view kChecks = "it only prints or checks, for which ONNX has no operator";
constexpr std::string_view kDrop = "tf::save_onnx(path, f, {.drop_checks = true})";

// clang-format off
constexpr OnnxRule kOther[] = {
    // What save_onnx does itself.
    {"Const", "initializer", kAllDTypes},
    {"Parameter", "graph input", kAllDTypes},
    {"Placeholder", "graph input", kAllDTypes},
    {"Capture", "the value around", kAllDTypes},
    {"ReadVariable", "initializer", kAllDTypes},
    {"Variable", "initializer", kAllDTypes},
    {"If", "If", kAllDTypes},
    {"While", "Loop", kAllDTypes},
    {"Call", "the function's nodes", kAllDTypes},
    {"NoOp", "nothing", kAllDTypes},
    // Effects.
    {"Print", "", 0, nullptr, kChecks, kDrop},
    {"Assert", "", 0, nullptr, kChecks, kDrop},
    {"Guard", "", 0, nullptr, "a trace holds only as long as it does, which ONNX cannot check", "tf::cond(c, f, g) in place of if (c)"},
    {"CheckNumerics", "", 0, nullptr, kChecks, kDrop},
    {"Assign", "", 0, nullptr, kUpdates},
    {"AssignAdd", "", 0, nullptr, kUpdates},
    {"AssignSub", "", 0, nullptr, kUpdates},
    // Random numbers.
    {"RandomNormal", "", 0, nullptr, kDraws, kEvaluate},
    {"RandomUniform", "", 0, nullptr, kDraws, kEvaluate},
    {"TruncatedNormal", "", 0, nullptr, kDraws, kEvaluate},
    {"RandomUniformInt", "", 0, nullptr, kDraws, kEvaluate},
    {"RandomPermutation", "", 0, nullptr, kDraws, kEvaluate},
    // Training.
    {"BatchNorm", "", 0, nullptr, "it is batch normalisation in training, by the batch's own statistics", "net.eval() before the function is traced"},
    {"RunningStatistics", "", 0, nullptr, "it is batch normalisation in training, which gathers statistics", "net.eval() before the function is traced"},
    {"SGDUpdate", "", 0, nullptr, kUpdates},
    {"SGDRowsUpdate", "", 0, nullptr, kUpdates},
    {"AdamUpdate", "", 0, nullptr, kUpdates},
    {"RMSPropUpdate", "", 0, nullptr, kUpdates},
    {"AdagradUpdate", "", 0, nullptr, kUpdates},
    // Gradients.
    {"Backprop", "", 0, nullptr, kGradient},
    {"BatchNormGrad", "", 0, nullptr, kGradient},
    {"CheckIndices", "", 0, nullptr, kGradient},
    {"Conv2DBackpropFilter", "", 0, nullptr, kGradient},
    {"FlattenBatch", "", 0, nullptr, kGradient},
    {"GeluGrad", "", 0, nullptr, kGradient},
    {"IfArrived", "", 0, nullptr, kGradient},
    {"MaxPool2DGrad", "", 0, nullptr, kGradient},
    {"MaxPool2DPick", "", 0, nullptr, kGradient},
    {"AvgPool2DGrad", "", 0, nullptr, kGradient},
    {"ProdGrad", "", 0, nullptr, kGradient},
    {"ReluGrad", "", 0, nullptr, kGradient},
    {"SigmoidGrad", "", 0, nullptr, kGradient},
    {"SiluGrad", "", 0, nullptr, kGradient},
    {"TanhGrad", "", 0, nullptr, kGradient},
    {"SumSlices", "", 0, nullptr, kGradient},
    // Lists.
    {"TensorListReserve", "", 0, nullptr, kLists, kStack},
    {"TensorListSetItem", "", 0, nullptr, kLists, kStack},
    {"TensorListGetItem", "", 0, nullptr, kLists, kStack},
    {"TensorListStack", "", 0, nullptr, kLists, kStack},
    {"TensorListFromTensor", "", 0, nullptr, kLists, kStack},
    {"TensorListLength", "", 0, nullptr, kLists, kStack},
    {"TensorListErase", "", 0, nullptr, kLists, kStack},
    {"TensorListItemLike", "", 0, nullptr, kLists, kStack},
    {"TensorListItem", "", 0, nullptr, kLists, kStack},
    {"TensorListStackLike", "", 0, nullptr, kLists, kStack},
    {"TensorListAdd", "", 0, nullptr, kLists, kStack},
    {"TensorListIfArrived", "", 0, nullptr, kLists, kStack},
    {"Fused", "", 0, nullptr, "a pass makes it of other ops; a function's graph has none"},
};
// clang-format on

}  // namespace

std::span<const OnnxRule> onnx_other_rules() { return kOther; }

const std::vector<OnnxRule>& onnx_rules() {
  static const std::vector<OnnxRule> rules = [] {
    std::vector<OnnxRule> all;
    for (const auto family : {onnx_pointwise_rules(), onnx_layout_rules(), onnx_nn_rules(), onnx_other_rules()})
      all.insert(all.end(), family.begin(), family.end());
    return all;
  }();
  return rules;
}

const OnnxRule* find_onnx_rule(std::string_view op) {
  static const auto by_name = [] {
    std::unordered_map<std::string_view, const OnnxRule*> map;
    for (const OnnxRule& rule : onnx_rules()) map.emplace(rule.op, &rule);
    return map;
  }();
  const auto known = by_name.find(op);
  return known == by_name.end() ? nullptr : known->second;
}

}  // namespace twofold::saved
