#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <unordered_map>

#include <twofold/graph/body_gradient.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/core/source_line.h>
#include <twofold/lib/op/random_key.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/device.h>
#include <twofold/lib/saved/writer.h>

#include "lib/program.pb.h"

namespace twofold::saved {
namespace {

class Reading {
 public:
  Reading(const io::Safetensors& file, const std::string& source) : file_(file), source_(source) {}

  ProgramRecord run() {
    parse();
    ProgramRecord record;
    record.counters = counters_;
    record.info = info();
    for (const Variable& v : program_.variables()) {
      const Line& line = v.line();
      const TensorSpec spec = spec_of(v.spec());
      const Tensor value = tensor_of(v.name(), "variable");
      if (value.dtype() != spec.dtype || !value.shape().compatible_with(spec.shape))
        fail(fmt::format("the variable '{}' is {} of shape {} and its tensor {} of shape {}", v.name(),
                         name_of(spec.dtype), spec.shape.str(), name_of(value.dtype()), value.shape().str()));
      if (v.name().empty()) fail("a variable has no name");
      variables_.push_back(make_ref<VariableState>(v.name(), spec.dtype, spec.shape, v.trainable(), line_of(line)));
      record.variables.emplace_back(variables_.back(), value);
    }
    for (int i = 0; i < program_.graphs_size(); ++i) add_graph(i);
    for (const Function& f : program_.functions()) record.functions.push_back(function_of(f));
    for (const Draws& d : program_.draws()) record.draws.push_back({d.key(), generation(d.generation()), d.count()});
    return record;
  }

 private:
  [[noreturn]] void fail(const std::string& problem, Code code = Code::DataLoss) const {
    throw Error(code, {.message = fmt::format("cannot load '{}': {}{}", source_, place_, problem)});
  }

  void parse() {
    const Tensor* graph = file_.find(kGraphTensor);
    const auto version = file_.metadata().find(std::string(kFormatKey));
    if (!graph || version == file_.metadata().end())
      fail("it is a safetensors file, but not a saved program", Code::InvalidArgument);
    if (graph->dtype() != uint8 || graph->rank() != 1) fail("its graph is no vector of bytes");
    if (version->second != std::to_string(kFormatVersion))
      fail(fmt::format("its format is version {}, and this library reads up to {}", version->second, kFormatVersion),
           Code::Unimplemented);
    const auto bytes = graph->data<uint8_t>();
    if (bytes.size() > INT32_MAX || !program_.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
      fail("its graph cannot be parsed");
    // The last of its fields.
    if (!program_.has_engines()) fail("its graph has no end");
    if (program_.functions().empty()) fail("it has no function");
    if (program_.version() != kFormatVersion) fail("its graph is of another version than it says");
  }

  SavedInfo info() const {
    const Engines& engines = program_.engines();
    if (engines.math_mode() > static_cast<uint32_t>(MathMode::pedantic)) fail("its math mode is none");
    return {.format = program_.version(),
            .producer = program_.producer(),
            .deterministic = engines.deterministic(),
            .math_mode = static_cast<MathMode>(engines.math_mode()),
            .isa = engines.isa(),
            .gpu = engines.gpu()};
  }

  template <class List>
  void check(const List& list, uint32_t i, const char* what) const {
    if (i >= static_cast<uint32_t>(list.size())) fail(fmt::format("it refers to {} {} of {}", what, i, list.size()));
  }
  const std::string& text(uint32_t i) const {
    check(program_.texts(), i, "text");
    return program_.texts(static_cast<int>(i));
  }
  std::source_location line_of(const Line& line) const {
    return line.file() ? source_line(text(line.file()), line.line(), line.column()) : std::source_location();
  }
  TensorSpec spec_of(const Spec& from) const {
    if (from.dtype() > static_cast<uint32_t>(DType::list)) fail(fmt::format("there is no dtype {}", from.dtype()));
    TensorSpec spec{static_cast<DType>(from.dtype()), twofold::Shape()};
    if (from.shape().unknown_rank()) {
      spec.shape = twofold::Shape::unknown();
      return spec;
    }
    if (from.shape().extents_size() > kMaxRank) fail(fmt::format("a shape has {} axes", from.shape().extents_size()));
    for (int64_t d : from.shape().extents()) {
      if (d < -1) fail(fmt::format("a shape has the extent {}", d));
      spec.shape.push_back(d);
    }
    return spec;
  }
  const Tensor& tensor_of(const std::string& name, const char* what) const {
    const Tensor* t = file_.find(name);
    if (!t) fail(fmt::format("the {} '{}' has no tensor in the file", what, name));
    return *t;
  }

  Tensor constant(uint32_t i) {
    check(program_.constants(), i, "constant");
    if (constants_.empty()) constants_.resize(static_cast<size_t>(program_.constants_size()));
    Tensor& known = constants_[i];
    if (known.defined()) return known;
    const Constant& from = program_.constants(static_cast<int>(i));
    const TensorSpec spec = spec_of(from.spec());
    if (!spec.shape.is_known()) fail("a constant has a shape that is not known");
    if (spec.dtype == DType::list) fail("a constant is a list");
    if (from.has_tensor()) {
      known = tensor_of(from.tensor(), "constant");
      if (known.dtype() != spec.dtype || !(known.shape() == spec.shape))
        fail(fmt::format("the constant '{}' is not as its tensor", from.tensor()));
      return known;
    }
    const std::string& elements = from.elements();
    if (spec.shape.saturated_elements() > static_cast<int64_t>(elements.size()) + 1 ||
        static_cast<size_t>(spec.shape.saturated_elements()) * size_of(spec.dtype) != elements.size())
      fail(fmt::format("a constant of shape {} has {} bytes", spec.shape.str(), elements.size()));
    if (spec.dtype == bool_)
      for (char c : elements)
        if (c != 0 && c != 1) fail("a bool constant is neither 0 nor 1");
    auto value = twofold::Value::make(spec.dtype, spec.shape);
    std::memcpy(value->data(), elements.data(), elements.size());
    return known = Tensor::adopt(value.detach());
  }

  FieldValue value_of(const saved::Value& from, int depth = 0) {
    if (depth > 8) fail("an attribute is nested too deeply");
    switch (from.value_case()) {
      case saved::Value::kInteger: return {int64_t{from.integer()}};
      case saved::Value::kNumber: return {from.number()};
      case saved::Value::kText: return {from.text()};
      case saved::Value::kTensor: return {constant(from.tensor())};
      case saved::Value::kVariable:
        check(variables_, from.variable(), "variable");
        return {variables_[from.variable()]};
      case saved::Value::kBody: return {std::make_shared<const twofold::Body>(body(from.body()))};
      case saved::Value::kList: {
        FieldValue::List list;
        for (const saved::Value& e : from.list().values()) list.push_back(value_of(e, depth + 1));
        return {std::move(list)};
      }
      case saved::Value::VALUE_NOT_SET: break;
    }
    fail("an attribute has no value");
  }

  Ref<AttrsBox> attributes(const OpDef& op, uint32_t number) {
    if (number == 0) {
      if (op.attrs && op.attrs->field_count) fail(fmt::format("'{}' has no attributes", op.name));
      return {};
    }
    check(program_.attributes(), number - 1, "attributes");
    if (!op.attrs) fail(fmt::format("'{}' has attributes, and takes none", op.name));
    auto& known = attributes_[{number, op.attrs}];
    if (known) return known;
    const Attributes& from = program_.attributes(static_cast<int>(number - 1));
    if (from.names_size() != from.values_size()) fail("attributes have more names than values, or fewer");
    std::map<std::string_view, FieldValue> given;
    for (int i = 0; i < from.names_size(); ++i) given.emplace(text(from.names(i)), value_of(from.values(i)));
    std::vector<const FieldValue*> fields;
    std::string_view names = op.attrs->field_names;
    while (!names.empty()) {
      const size_t end = std::min(names.find(','), names.size());
      const auto field = given.find(names.substr(0, end));
      if (field == given.end()) fail(fmt::format("'{}' lacks the attribute '{}'", op.name, names.substr(0, end)));
      fields.push_back(&field->second);
      names.remove_prefix(std::min(end + 2, names.size()));
    }
    if (fields.size() != given.size())
      fail(fmt::format("'{}' has an attribute that this library does not know", op.name));
    try {
      return known = make_ref<AttrsBox>(op.attrs, op.attrs->load(fields));
    } catch (const Error& e) {
      fail(fmt::format("'{}': {}", op.name, e.facts().message));
    }
  }

  const OpDef& op_of(uint32_t i) {
    check(program_.ops(), i, "op");
    if (ops_.empty()) ops_.resize(static_cast<size_t>(program_.ops_size()));
    if (ops_[i]) return *ops_[i];
    const Op& op = program_.ops(static_cast<int>(i));
    const OpDef* const known = find_op(op.name());
    if (!known) fail(fmt::format("this library has no op '{}'", io_quoted(op.name())), Code::Unimplemented);
    if (op.version() > known->version)
      fail(fmt::format("'{}' is version {} of it, and this library has {}", op.name(), op.version(), known->version),
           Code::Unimplemented);
    ops_[i] = known;
    return *known;
  }
  static std::string io_quoted(const std::string& s) { return s.substr(0, 100); }

  void add_graph(int number) {
    const Graph& from = program_.graphs(number);
    const int n = from.op_size();
    for (int size :
         {from.attributes_size(), from.num_inputs_size(), from.num_outputs_size(), from.num_controls_size(),
          from.scope_size(), from.base_size(), from.ordinal_size(), from.device_size(), from.generation_size(),
          from.only_names_size(), from.file_size(), from.line_size(), from.column_size()})
      if (size != n) fail(fmt::format("graph {} has columns of {} and of {} nodes", number, n, size));
    auto graph = make_ref<GraphData>(nullptr, from.label());
    GraphData& g = *graph;
    g.take_eager_variables();
    std::map<uint32_t, uint32_t> scopes, bases;
    std::map<std::pair<uint32_t, uint64_t>, std::source_location> lines;
    int depth = 0, made_at = 0, next_input = 0, next_output = 0, next_control = 0;
    const auto take = [&](int& next, uint32_t count, int size) {
      if (count > static_cast<uint32_t>(size - next)) fail(fmt::format("graph {} ends within a node", number));
      const int first = next;
      next += static_cast<int>(count);
      return first;
    };
    if (from.input_distance_size() != from.input_output_size()) fail("inputs have more nodes than outputs, or fewer");
    std::vector<Edge> inputs;
    std::vector<TensorSpec> outputs;
    std::vector<uint32_t> controls;
    std::vector<uint64_t> parameters, captures;
    for (int i = 0; i < n; ++i) {
      const auto id = static_cast<uint32_t>(i);
      place_ = fmt::format("node {} of graph {}: ", i, number);
      for (; made_at < from.made_first_size() && from.made_first(made_at) <= id; ++made_at) made_in(g, from, made_at);
      const OpDef& op = op_of(from.op(i));
      inputs.clear(), outputs.clear(), controls.clear();
      const auto before = [&](uint32_t distance) {
        if (distance == 0 || distance > id) fail("it depends on a node that does not come before it");
        return id - distance;
      };
      for (int k = take(next_input, from.num_inputs(i), from.input_distance_size()); k < next_input; ++k) {
        const Edge e{before(from.input_distance(k)), static_cast<uint16_t>(from.input_output(k))};
        if (from.input_output(k) >= g.node(e.node).outputs.size()) fail("it reads an output that there is not");
        inputs.push_back(e);
      }
      for (int k = take(next_output, from.num_outputs(i), from.output_spec_size()); k < next_output; ++k) {
        check(program_.specs(), from.output_spec(k), "spec");
        outputs.push_back(spec_of(program_.specs(static_cast<int>(from.output_spec(k)))));
      }
      for (int k = take(next_control, from.num_controls(i), from.control_distance_size()); k < next_control; ++k)
        controls.push_back(before(from.control_distance(k)));
      NodeRecord node{.op = &op,
                      .attrs = attributes(op, from.attributes(i)),
                      .inputs = inputs,
                      .outputs = outputs,
                      .controls = controls,
                      .ordinal = from.ordinal(i),
                      .device = device_of(from.device(i)),
                      .only_names = from.only_names(i),
                      .generation = op.flags.random ? generation(from.generation(i)) : 0};
      const auto part = [&](std::map<uint32_t, uint32_t>& known, uint32_t key, auto make) {
        const auto at = known.find(key);
        return at != known.end() ? at->second : known.emplace(key, make()).first->second;
      };
      node.scope = part(scopes, from.scope(i), [&] { return g.scope_id(text(from.scope(i))); });
      node.base = part(bases, from.base(i), [&] { return g.base_id(text(from.base(i))); });
      if (from.file(i)) {
        auto& line = lines[{from.file(i), uint64_t{from.line(i)} << 32 | from.column(i)}];
        if (!line.line()) line = source_line(text(from.file(i)), from.line(i), from.column(i));
        node.where = line;
      }
      if (const std::string problem = check_node(g, node); !problem.empty()) fail(problem);
      depth = std::max(depth, depth_of(node));
      if (node.op == &parameter_op) parameters.push_back(Edge{id, 0}.key());
      if (node.op == &capture_op) captures.push_back(Edge{id, 0}.key());
      g.append(node);
    }
    for (; made_at < from.made_first_size(); ++made_at) fail("a body is made behind the last node");
    place_.clear();
    g.close();
    about_.emplace(&g, AboutGraph{depth, std::move(parameters), std::move(captures)});
    graphs_.push_back(std::move(graph));
  }

  // How deep the bodies lie in each other that a node holds.
  int depth_of(const NodeRecord& node) const {
    int depth = 0;
    for (const twofold::Body* b : all_bodies_of(*node.op, node.attrs ? node.attrs->view() : AttrsView()))
      depth = std::max(depth, about_.at(b->graph.get()).depth + 1);
    if (depth > kMostNested) fail(fmt::format("bodies lie in each other more than {} deep", kMostNested));
    return depth;
  }

  void made_in(GraphData& g, const Graph& from, int i) {
    for (int size :
         {from.made_scope_size(), from.made_body_size(), from.made_execution_size(), from.made_outermost_size()})
      if (size != from.made_first_size()) fail("bodies have columns that differ in length");
    g.append_made_in({.scope = from.made_scope(i),
                      .body = from.made_body(i),
                      .execution = from.made_execution(i),
                      .outermost = from.made_outermost(i)});
  }

  // One of this process's, for each of the file's.
  uint32_t generation(uint32_t g) {
    const auto known = generations_.find(g);
    return known != generations_.end() ? known->second
                                       : generations_.emplace(g, new_eager_generation(counters_)).first->second;
  }

  // A device of this machine, or -1.
  int8_t device_of(int32_t device) {
    if (device < -1 || device > INT8_MAX) fail(fmt::format("there is no device {}", device));
    if (device <= 0) return static_cast<int8_t>(device);
    const auto known = devices_.find(device);
    if (known != devices_.end()) return known->second;
    try {
      const std::string name = Device{static_cast<int8_t>(device)}.name();
      return devices_.emplace(device, parse_device(name).index).first->second;
    } catch (const Error& e) {
      fail(e.facts().message, e.code());
    }
  }

  Edge edge_of(uint64_t key, const GraphData& g) const {
    const Edge e{static_cast<uint32_t>(key >> 16), static_cast<uint16_t>(key)};
    if (key >> 48 || e.node >= g.size() || e.output >= g.node(e.node).outputs.size())
      fail("a body refers to an output that there is not");
    return e;
  }

  // Whether none of `given` is there twice, and all of `needed`, which are in order, are among them.
  template <class List>
  static bool covers(const List& given, const std::vector<uint64_t>& needed) {
    std::vector<uint64_t> sorted(given.begin(), given.end());
    std::ranges::sort(sorted);
    return std::ranges::adjacent_find(sorted) == sorted.end() && std::ranges::includes(sorted, needed);
  }

  twofold::Body body(uint32_t number) const {
    check(program_.bodies(), number, "body");
    const Body& from = program_.bodies(static_cast<int>(number));
    if (from.graph() >= graphs_.size()) fail("a body's graph does not come before the graph that holds it");
    twofold::Body b{.graph = graphs_[from.graph()]};
    const GraphData& g = *b.graph;
    for (uint64_t key : from.parameters()) b.parameters.push_back(edge_of(key, g));
    for (uint64_t key : from.captures()) b.captures.push_back(edge_of(key, g));
    const AboutGraph& about = about_.at(&g);
    if (!covers(from.parameters(), about.parameters)) fail("a body's parameters are not those of its graph");
    if (from.captures_size() != static_cast<int>(about.captures.size()) || !covers(from.captures(), about.captures))
      fail("a body's captures are not those of its graph");
    for (uint32_t i : from.capture_inputs()) b.capture_inputs.push_back(i);
    if (b.captures.size() != b.capture_inputs.size()) fail("a body has more captures than inputs for them, or fewer");
    for (uint64_t key : from.outputs()) {
      const Edge e = b.outputs.emplace_back(edge_of(key, g));
      const Node& node = g.node(e.node);
      if (node.op->flags.control_flow && e.output + 1u == node.outputs.size()) fail("a body gives a trace");
    }
    for (uint32_t id : from.effects()) {
      if (id >= g.size()) fail("a body runs a node that there is not");
      if (g.node(id).op == &parameter_op || g.node(id).op == &capture_op) fail("a body runs a value that it is given");
      b.effects.push_back(id);
    }
    for (const auto& [list, into] : {std::pair{&from.reads(), &b.reads}, std::pair{&from.writes(), &b.writes}})
      for (uint32_t v : *list) {
        check(variables_, v, "variable");
        into->push_back(variables_[v]);
      }
    return b;
  }

  FunctionRecord function_of(const Function& from) {
    place_ = fmt::format("function '{}': ", io_quoted(from.name()));
    FunctionRecord f{.name = from.name(),
                     .arguments = {from.arguments().begin(), from.arguments().end()},
                     .body = body(from.body()),
                     .where = line_of(from.line())};
    if (f.body.parameters.size() != f.arguments.size()) fail("it has more arguments than names for them, or fewer");
    if (!f.body.captures.empty()) fail("it captures something of a graph around it");
    size_t outputs = 0;
    for (const auto& r : from.results()) {
      FunctionRecord::Result& result = f.results.emplace_back();
      result.name = r.name();
      if (r.has_constant()) {
        result.constant = constant(r.constant());
      } else if (r.has_output()) {
        if (r.output() != outputs++) fail("its outputs are not in order");
        result.output = r.output();
      }
    }
    if (outputs != f.body.outputs.size()) fail("it has other results than its body's outputs");
    place_.clear();
    return f;
  }

  const io::Safetensors& file_;
  const std::string& source_;
  std::string place_;  // where in the file, for errors
  Program program_;
  const std::shared_ptr<RandomCounters> counters_ = std::make_shared<RandomCounters>();
  std::map<uint32_t, uint32_t> generations_;
  std::map<int32_t, int8_t> devices_;
  std::vector<Ref<VariableState>> variables_;
  std::vector<Ref<GraphData>> graphs_;
  struct AboutGraph {
    int depth = 0;                               // of the bodies that its nodes hold
    std::vector<uint64_t> parameters, captures;  // keys of the edges of its nodes that are these, in order
  };
  std::unordered_map<const GraphData*, AboutGraph> about_;
  std::vector<Tensor> constants_;
  std::vector<const OpDef*> ops_;
  std::map<std::pair<uint32_t, const AttrsType*>, Ref<AttrsBox>> attributes_;
};

}  // namespace

ProgramRecord read_program(const io::Safetensors& file, const std::string& source) {
  return Reading(file, source).run();
}

}  // namespace twofold::saved
