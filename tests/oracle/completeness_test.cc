// Every function that a program can call has a case here, or a reason in words why it computes nothing to be held to.
#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "oracle.h"

using namespace oracle;

namespace {

struct Declared {
  const char* header;
  const char* name;
};
const Declared kDeclared[] = {
#include "public_functions.inc"
};

/// Headers that programs include without calling what is in them, and headers of which nothing computes.
const std::map<std::string, const char*> kHeaders = {
    {"lib/core/ref.h", "reference counts of the library's own objects"},
    {"lib/op/field_value.h", "attributes in files: ops_test saves and loads those of every op"},
    {"session/function.h", "calls the program's own function: function_test"},
    {"session/trace.h", "calls the program's own function: trace_test"},
    {"session/function_runner.h", "calls the program's own function: function_test"},
    {"lib/saved/freeze.h", "variables as constants, to the same bits: freeze_test"},
    {"lib/saved/saved_program.h", "programs in files and back, to the bit: saved_test"},
    {"lib/op/attrs.h", "ops' attributes as data: ops_test perturbs every field of every op"},
    {"lib/saved/onnx.h", "functions as ONNX models, which ONNX Runtime runs: the test onnx"},
    {"lib/runtime/op_name.h", "names of ops: ops_test walks the registry, compile_fail gives a kernel a wrong one"},
    {"lib/op/observer.h", "what sees ops: observer_test compares both modes"},
    {"lib/runtime/op_name.h", "how kernels name their ops: a wrong one does not compile"},
    {"lib/runtime/ledger.h", "times and counts, which depend on the machine: gpu_test and api_test hold what adds up"},
    {"lib/runtime/memory_stats.h", "counts bytes: core_test holds them to what is allocated"},
    {"lib/runtime/allocator.h", "hands out memory: core_test holds its counts, its limit and its alignment"},
    {"lib/runtime/thread_pool.h", "how many threads run: ops_test runs every op with 1, 2 and 5, to the same bits"},
};

/// Functions, and classes with all of theirs ("Graph" stands for "Graph::finalize").
const std::map<std::string, const char*> kNames = {
    // Modes, guards and names.
    {"EagerMode", "a guard: every case here runs under it"},
    {"DeferredMode", "a guard: every case here runs under it"},
    {"DeviceScope", "a place: gpu_test"},
    {"build_info", "words on how the library was built: core_test"},
    {"eagerly", "runs a lambda in a mode: every case here goes through it"},
    {"deferred", "runs a lambda in a mode: cases here go through it"},
    {"enable_eager_execution", "sets the process's mode once and for all: api_test"},
    {"compat::v1::disable_eager_execution", "sets the process's mode: api_test"},
    {"executing_eagerly", "a question of mode: api_test"},
    {"NameScope", "names: semantics_test"},
    {"name_scope", "names: semantics_test"},
    {"ControlDependencies", "an order of runs: semantics_test and random programs"},
    {"control_dependencies", "an order of runs: semantics_test and random programs"},
    {"device", "a place: gpu_test"},
    {"Device", "a place: gpu_test"},
    {"list_devices", "what the machine has: gpu_test"},
    {"parse_device", "a place's name: api_test"},
    {"soft_placement", "a switch of places: gpu_test"},
    {"set_soft_placement", "a switch of places: gpu_test"},
    {"synchronize", "waits for a GPU: gpu_test"},
    {"math_mode", "a switch of a GPU's rounding: gpu_numerics_test"},
    {"set_math_mode", "a switch of a GPU's rounding: gpu_numerics_test"},
    {"deterministic", "a switch of a GPU's order of sums: gpu_numerics_test"},
    {"set_deterministic", "a switch of a GPU's order of sums: gpu_numerics_test"},
    {"named", "names: semantics_test"},
    // Graphs as objects.
    {"Graph", "a graph's nodes by name and number: semantics_test, api_test"},
    {"get_default_graph", "which graph is current: api_test"},
    {"reset_default_graph", "which graph is current: api_test"},
    {"global_variables", "a list of what was made: semantics_test"},
    {"trainable_variables", "a list of what was made: semantics_test"},
    {"no_op", "does nothing when run: semantics_test"},
    {"Fetch", "what run takes: an argument's type"},
    {"Operation", "a node of a graph: semantics_test"},
    {"Operand", "what functions take: each function's case passes all its kinds"},
    {"resolve_all", "brings operands to one dtype: stack's, concat's and einsum's cases"},
    {"Index", "an argument's type, that of x[i]"},
    {"Extent", "an argument's type: the cases of extents pass all its kinds"},
    {"Extents", "an argument's type: the cases of extents pass all its kinds"},
    {"Paddings", "an argument's type: pad's case passes all its kinds"},
    {"Differentiables", "an argument's type: gradient_arguments_test passes all its kinds"},
    {"train::LearningRate", "an argument's type: a number"},
    {"operator==", "does not compile: compile_fail"},
    {"operator!=", "does not compile: compile_fail"},
    {"line_of", "words on a line: errors_test"},
    {"train::Optimizer::initializer", "variables_initializer of what state() lists: train_test"},
    {"Differentiable", "an argument's type, that of gradients"},
    // What a tensor, a variable, a shape says of itself without computing.
    {"Tensor", "the handle itself; what it computes has a case each"},
    {"Tensor::Iterator", "Tensor::begin's case"},
    {"Tensor::name", "a name: semantics_test"},
    {"Tensor::id", "an identity: api_test"},
    {"Tensor::device", "a place: gpu_test"},
    {"Tensor::op", "a node: semantics_test"},
    {"Variable::name", "a name: semantics_test"},
    {"Variable::initializer", "one variable's part of global_variables_initializer: semantics_test"},
    {"Variable::trainable", "returns an option: api_test"},
    {"Variable::of", "for the library's own sources: compile_fail"},
    {"Variable::graph", "for the library's own sources: compile_fail"},
    {"Variable::state", "for the library's own sources: compile_fail"},
    {"Shape", "lists of extents: core_test"},
    {"Axes", "a list of axes: core_test"},
    {"Error", "what is thrown: errors_test holds its code, its facts and its words"},
    {"fail", "throws an Error"},
    {"fail_at", "throws an Error"},
    {"name_of", "a name of a dtype, a code, a phase: core_test, errors_test"},
    {"spelling_of", "a dtype as programs spell it: core_test"},
    {"size_of", "bytes of a dtype: core_test"},
    {"dispatch", "calls a lambda by dtype: every case here goes through it"},
    {"promote", "PyTorch's table of dtypes: core_test has all of it"},
    {"is_floating", "a question of dtype: core_test"},
    {"is_integer", "a question of dtype: core_test"},
    {"carries_gradient", "a question of dtype: tensor_array_test"},
    {"operator<<", "prints: api_test holds texts to NumPy's"},
    {"to_string", "prints: api_test"},
    {"repr", "prints: api_test"},
    {"nn::operator<<", "prints: train_test"},
    {"nn::to_string", "prints: train_test"},
    {"Step::body_of", "the program's own function: saved_test"},
    {"Step::runner", "the library's own"},
    {"Step::traces", "words and lines: function_test"},
    {"to_field", "an attribute in a file: ops_test"},
    {"from_field", "an attribute from a file: ops_test"},
    {"print_field", "prints an attribute: ops_test"},
    {"hash_field", "hashes an attribute: ops_test"},
    {"perturb_field", "changes an attribute: ops_test's own tool"},
    {"Literal::kind", "which kind of literal it is"},
    {"Literal::is_scalar", "a question of rank: core_test"},
    {"Literal::shape", "a literal's extents: core_test"},
    {"Literal::integer", "a scalar's number as it was given"},
    {"Literal::floating", "a scalar's number as it was given"},
    {"Literal::holds_floating", "a question of kind"},
    {"Literal::viewed", "an address: api_run_test"},
    {"Feed::key", "returns what it was given"},
    {"Feed::value", "returns what it was given"},
    // Sessions.
    {"Session::set", "sets variables to values: load_state's case goes through it"},
    {"Session::close", "ends a session: semantics_test"},
    {"Session::graph", "returns the session's graph"},
    {"Session::num_plans", "a count: api_run_test"},
    // Random state: which numbers, not what numbers.
    {"read_random_state", "random state: random_state_test"},
    {"load_random_state", "random state: random_state_test"},
    {"Callable::call_all", "all results of a callable: api_test"},
    // Lists of ops, and what registers them.
    {"StridedRange", "what strided_slice takes of an axis: strided_slice's case"},
    {"BatchNormLayout", "how batch_norm's kernels see x: batch_norm's case"},
    {"register_conv2d", "registers ops: the library's own"},
    {"register_matmul", "registers ops: the library's own"},
    {"register_pool2d", "registers ops: the library's own"},
    {"register_random", "registers ops: the library's own"},
    // Modules as objects.
    {"nn::Module",
     "a net's parameters by name, in print and on devices: module_test; what layers compute has a case each"},
    {"train::SGD::options", "returns what it was given"},
    {"train::Adam::options", "returns what it was given"},
    {"train::RMSProp::options", "returns what it was given"},
    {"train::Adagrad::options", "returns what it was given"},
    {"train::Optimizer::parameters", "returns what it was given"},
    {"train::Optimizer::state", "the optimiser's variables by name: train_test"},
    // Files.
    {"io::TensorName", "an argument's type, that of file[name]"},
    {"io::TensorFile::tensors", "returns the list that begin() and end() walk"},
    {"io::TensorFile::begin", "walks what size() counts: io_test"},
    {"io::TensorFile::end", "walks what size() counts: io_test"},
    {"io::TensorFile::empty", "whether size() is 0"},
    {"io::Safetensors", "a TensorFile with notes: io_test"},
    {"train::Saver", "variables in files and back, to the bit: saver_test"},
    {"train::SaverState", "an argument's type, a map of variables: saver_test"},
    {"train::SaverOptions", "an argument's type: saver_test"},
    {"train::Metric", "an argument's type, a number: saver_test"},
    {"io::DataLoader::Epoch", "a range: io::DataLoader::epoch's case walks it"},
    {"io::DataLoader::Iterator", "a range: io::DataLoader::epoch's case walks it"},
    {"io::DataLoader::map", "calls the program's own function: io_test"},
    {"io::DataLoader::position", "a place in the sequence: io_test"},
    {"io::DataLoader::seek", "a place in the sequence: io_test"},
    {"io::DataLoader::num_examples", "a count: io_test"},
    {"io::DataLoader::batches_per_epoch", "a count: io_test"},
};

/// Functions of the library's own, which programs do not see, that have cases nevertheless.
const std::set<std::string> kOwn = {"adagrad_update",    "adam_update",     "if_arrived",
                                    "rmsprop_update",    "sgd_update",      "sgd_rows_update",
                                    "train::assign_all", "train::read_all", "vjp"};

/// The reason why `d` needs no case, or null.
const char* excuse(const Declared& d) {
  if (const auto header = kHeaders.find(d.header); header != kHeaders.end()) return header->second;
  const std::string name = d.name;
  if (const auto it = kNames.find(name); it != kNames.end()) return it->second;
  // How layers print.
  if (name.starts_with("nn::") && (name.ends_with("::type_name") || name.ends_with("::extra_repr")))
    return "prints: train_test";
  // A class's reason holds for its functions, unless they have cases of their own.
  for (size_t end = name.rfind("::"); end != std::string::npos;
       end = end == 0 ? std::string::npos : name.rfind("::", end - 1)) {
    const std::string whole = name.substr(0, end);
    if (const auto it = kNames.find(whole); it != kNames.end()) return it->second;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("Every public function has an oracle, or a reason why it needs none") {
  REQUIRE(std::size(kDeclared) > 500);
  const std::set<std::string>& cases = covered();
  std::set<std::string> declared;
  for (const Declared& d : kDeclared) {
    declared.insert(d.name);
    INFO(d.name << " of <twofold/" << d.header
                << "> has neither a case in tests/oracle nor a reason in completeness_test.cc");
    CHECK((cases.contains(d.name) || excuse(d)));
  }
  // Nothing is said of what there is no more.
  for (const std::string& name : cases) {
    INFO("there is no public function " << name << ", which has a case");
    CHECK((declared.contains(name) != kOwn.contains(name)));
  }
  for (const auto& [name, reason] : kNames) {
    INFO(name << " needs no excuse: it has a case, or is gone");
    CHECK((declared.contains(name) && !cases.contains(name)));
  }
  for (const auto& [header, reason] : kHeaders) {
    INFO(header << " is no public header any more");
    CHECK(
        std::any_of(std::begin(kDeclared), std::end(kDeclared), [&](const Declared& d) { return d.header == header; }));
  }
}
