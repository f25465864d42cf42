#include <twofold/lib/saved/writer.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <unordered_map>

#include <twofold/graph/body_gradient.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/numerics.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/build_info.h>

#include "lib/program.pb.h"

namespace twofold::saved {
namespace {

void set_shape(Shape* to, const twofold::Shape& from) {
  to->set_unknown_rank(!from.has_rank());
  if (!from.has_rank()) return;
  for (int64_t d : from.raw()) to->add_extents(d);
}
void set_spec(Spec* to, const TensorSpec& from) {
  to->set_dtype(static_cast<uint32_t>(from.dtype));
  set_shape(to->mutable_shape(), from.shape);
}

class Writing {
 public:
  explicit Writing(const SaveOptions& options) : options_(options) { text(""); }

  std::pair<io::NamedTensors, io::Metadata> run(const ProgramRecord& record) {
    program_.set_version(kFormatVersion);
    program_.set_producer("twofold " + build_info().version);
    for (const auto& [v, value] : record.variables) add_variable(v, value);
    for (const FunctionRecord& f : record.functions) add_function(f);
    for (const auto& d : record.draws) {
      Draws* to = program_.add_draws();
      to->set_key(d.key);
      to->set_generation(generation(d.generation));
      to->set_count(d.count);
    }
    Engines* engines = program_.mutable_engines();
    engines->set_deterministic(deterministic());
    engines->set_math_mode(static_cast<uint32_t>(math_mode()));
    const size_t bytes = program_.ByteSizeLong();
    auto graph = twofold::Value::make(uint8, twofold::Shape{static_cast<int64_t>(bytes)});
    program_.SerializeWithCachedSizesToArray(static_cast<uint8_t*>(graph->data()));
    tensors_.emplace_back(std::string(kGraphTensor), Tensor::adopt(graph.detach()));
    return {std::move(tensors_), {{std::string(kFormatKey), std::to_string(kFormatVersion)}}};
  }

 private:
  uint32_t text(std::string_view s) {
    const auto [known, is_new] = texts_.try_emplace(std::string(s), static_cast<uint32_t>(texts_.size()));
    if (is_new) program_.add_texts(known->first);
    return known->second;
  }
  void set_line(Line* to, std::source_location where) {
    if (!options_.source_lines || !where.line()) return;
    to->set_file(text(where.file_name()));
    to->set_line(where.line());
    to->set_column(where.column());
  }
  uint32_t generation(uint32_t g) {
    return generations_.try_emplace(g, static_cast<uint32_t>(generations_.size())).first->second;
  }

  void add_variable(const Ref<VariableState>& v, const Tensor& value) {
    variables_[v->id] = static_cast<uint32_t>(variables_.size());
    Variable* to = program_.add_variables();
    const std::string own = v->name.starts_with("twofold.") ? "variable." + v->name : v->name;
    std::string name = own;
    for (int i = 1; !names_.insert(name).second; ++i) name = fmt::format("{}_{}", own, i);
    to->set_name(name);
    set_spec(to->mutable_spec(), {v->dtype, v->shape});
    to->set_trainable(v->trainable);
    set_line(to->mutable_line(), v->where);
    tensors_.emplace_back(name, value);
  }

  uint32_t constant(const Tensor& t) {
    const auto known = constants_.find(t.value());
    if (known != constants_.end()) return known->second;
    const auto number = static_cast<uint32_t>(program_.constants_size());
    constants_.emplace(t.value(), number);
    const auto& host = t.value()->on_host();
    Constant* to = program_.add_constants();
    set_spec(to->mutable_spec(), {t.dtype(), t.shape()});
    if (host.bytes() <= kMostInline) {
      to->set_elements(host.data(), host.bytes());
    } else {
      to->set_tensor(fmt::format("{}{}", kConstantPrefix, number));
      tensors_.emplace_back(to->tensor(), t);
    }
    return number;
  }

  void set_value(saved::Value* to, const FieldValue& from) {
    std::visit(
        [&]<class T>(const T& v) {
          if constexpr (std::is_same_v<T, int64_t>) {
            to->set_integer(v);
          } else if constexpr (std::is_same_v<T, double>) {
            to->set_number(v);
          } else if constexpr (std::is_same_v<T, std::string>) {
            to->set_text(v);
          } else if constexpr (std::is_same_v<T, FieldValue::List>) {
            auto* list = to->mutable_list();
            for (const FieldValue& e : v) set_value(list->add_values(), e);
          } else if constexpr (std::is_same_v<T, Tensor>) {
            to->set_tensor(constant(v));
          } else if constexpr (std::is_same_v<T, Ref<VariableState>>) {
            to->set_variable(variables_.at(v->id));
          } else {
            to->set_body(body(*v));
          }
        },
        from.value);
  }

  uint32_t attributes(AttrsView attrs) {
    if (!attrs) return 0;
    auto& like = attributes_[attrs.hash()];
    for (const auto& [known, number] : like)
      if (known == attrs) return number;
    Attributes made;  // bodies in it are added before
    std::string_view names = attrs.type()->field_names;
    for (const FieldValue& f : attrs.type()->save(attrs.data())) {
      const size_t end = std::min(names.find(','), names.size());
      made.add_names(text(names.substr(0, end)));
      names.remove_prefix(std::min(end + 2, names.size()));
      set_value(made.add_values(), f);
    }
    *program_.add_attributes() = std::move(made);
    const auto number = static_cast<uint32_t>(program_.attributes_size());
    like.emplace_back(attrs, number);
    return number;
  }

  uint32_t spec(const TensorSpec& s) {
    std::vector<int64_t> key{static_cast<int64_t>(s.dtype), s.shape.rank()};
    if (s.shape.has_rank()) key.insert(key.end(), s.shape.raw().begin(), s.shape.raw().end());
    const auto [known, is_new] = specs_.try_emplace(std::move(key), static_cast<uint32_t>(specs_.size()));
    if (is_new) set_spec(program_.add_specs(), s);
    return known->second;
  }

  uint32_t op(const OpDef& def) {
    const auto [known, is_new] = ops_.try_emplace(&def, static_cast<uint32_t>(ops_.size()));
    if (is_new) {
      Op* to = program_.add_ops();
      to->set_name(def.name);
      to->set_version(def.version);
    }
    return known->second;
  }

  uint32_t graph(const GraphData& g) {
    if (const auto known = graphs_.find(&g); known != graphs_.end()) return known->second;
    Graph made;
    made.set_label(g.label());
    std::map<uint32_t, uint32_t> scopes, bases;
    std::map<const char*, uint32_t> files;
    int depth = 0;
    const uint32_t n = g.size();
    for (uint32_t id = 0; id < n; ++id) {
      const Node& node = g.node(id);
      made.add_op(op(*node.op));
      made.add_attributes(attributes(node.attrs_view()));
      for (const twofold::Body* b : all_bodies_of(*node.op, node.attrs_view()))
        depth = std::max(depth, depths_.at(b->graph.get()) + 1);
      if (depth > kMostNested)
        fail_at(node.where, node.op->name, Code::InvalidArgument,
                fmt::format("Bodies lie in each other more than {} deep, which no file holds", kMostNested));
      made.add_num_inputs(static_cast<uint32_t>(node.inputs.size()));
      made.add_num_outputs(static_cast<uint32_t>(node.outputs.size()));
      made.add_num_controls(static_cast<uint32_t>(node.controls.size()));
      const auto part = [&](std::map<uint32_t, uint32_t>& known, uint32_t key, auto name) {
        const auto at = known.find(key);
        return at != known.end() ? at->second : known.emplace(key, text(name())).first->second;
      };
      made.add_scope(part(scopes, node.scope, [&] { return g.scope_name(node); }));
      made.add_base(part(bases, node.base, [&] { return g.base_name(node); }));
      made.add_ordinal(node.ordinal);
      made.add_device(node.device == device_ ? -1 : node.device);
      made.add_generation(node.op->flags.random ? generation(node.generation) : 0);
      made.add_only_names(node.only_names);
      const bool line = options_.source_lines && node.where.line();
      const auto file = files.find(node.where.file_name());
      made.add_file(!line ? 0
                    : file != files.end()
                        ? file->second
                        : files.emplace(node.where.file_name(), text(node.where.file_name())).first->second);
      made.add_line(line ? node.where.line() : 0);
      made.add_column(line ? node.where.column() : 0);
      for (Edge e : node.inputs) {
        made.add_input_distance(id - e.node);
        made.add_input_output(e.output);
      }
      for (const TensorSpec& s : node.outputs) made.add_output_spec(spec(s));
      for (uint32_t c : node.controls) made.add_control_distance(id - c);
    }
    for (const MadeIn& in : g.made_in()) {
      made.add_made_first(in.first);
      made.add_made_scope(in.scope);
      made.add_made_body(in.body);
      made.add_made_execution(execution(in.execution));
      made.add_made_outermost(execution(in.outermost));
    }
    depths_.emplace(&g, depth);
    *program_.add_graphs() = std::move(made);
    return graphs_.emplace(&g, static_cast<uint32_t>(program_.graphs_size() - 1)).first->second;
  }
  uint32_t execution(uint64_t number) {
    return number ? executions_.try_emplace(number, static_cast<uint32_t>(executions_.size() + 1)).first->second : 0;
  }

  uint32_t body(const twofold::Body& b) {
    Body made;
    made.set_graph(graph(*b.graph));
    for (Edge e : b.parameters) made.add_parameters(e.key());
    for (Edge e : b.captures) made.add_captures(e.key());
    for (uint32_t i : b.capture_inputs) made.add_capture_inputs(i);
    for (Edge e : b.outputs) made.add_outputs(e.key());
    for (uint32_t id : b.effects) made.add_effects(id);
    for (const auto& v : b.reads) made.add_reads(variables_.at(v->id));
    for (const auto& v : b.writes) made.add_writes(variables_.at(v->id));
    *program_.add_bodies() = std::move(made);
    return static_cast<uint32_t>(program_.bodies_size() - 1);
  }

  void add_function(const FunctionRecord& f) {
    Function made;
    made.set_name(f.name);
    for (const std::string& name : f.arguments) made.add_arguments(name);
    for (const auto& r : f.results) {
      Function::Result* to = made.add_results();
      to->set_name(r.name);
      if (r.output >= 0)
        to->set_output(static_cast<uint32_t>(r.output));
      else if (r.constant.defined())
        to->set_constant(constant(r.constant));
      else
        to->set_nothing(true);
    }
    device_ = f.device;
    made.set_body(body(f.body));
    set_line(made.mutable_line(), f.where);
    *program_.add_functions() = std::move(made);
  }

  const SaveOptions& options_;
  Program program_;
  io::NamedTensors tensors_;
  int8_t device_ = -1;  // of the function that is being written
  std::unordered_map<std::string, uint32_t> texts_;
  std::set<std::string> names_;  // of variables
  std::unordered_map<uint64_t, uint32_t> variables_;
  std::unordered_map<const twofold::Value*, uint32_t> constants_;
  std::unordered_map<uint64_t, std::vector<std::pair<AttrsView, uint32_t>>> attributes_;
  std::map<std::vector<int64_t>, uint32_t> specs_;
  std::unordered_map<const OpDef*, uint32_t> ops_;
  std::unordered_map<const GraphData*, uint32_t> graphs_;
  std::unordered_map<const GraphData*, int> depths_;  // of graphs: how deep bodies lie in each other there
  std::map<uint32_t, uint32_t> generations_;
  std::unordered_map<uint64_t, uint32_t> executions_;
};

}  // namespace

std::pair<io::NamedTensors, io::Metadata> write_program(const ProgramRecord& program, const SaveOptions& options) {
  return Writing(options).run(program);
}

}  // namespace twofold::saved
