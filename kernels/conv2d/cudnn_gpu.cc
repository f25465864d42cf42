#include <twofold/kernels/conv2d/cudnn_gpu.h>

#include <algorithm>
#include <sstream>

namespace twofold::cudnn {
namespace {

constexpr int64_t kX = 'x', kWeight = 'w', kY = 'y';

// Engines that round more coarsely than float32 arithmetic, or whose errors spread from large numbers to the results of
// others, as those of transforms do: with them, values under a masked kernel would change results.
constexpr cudnnBackendNumericalNote_t kNever[] = {CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS,
                                                  CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION,
                                                  CUDNN_NUMERICAL_NOTE_FFT,
                                                  CUDNN_NUMERICAL_NOTE_WINOGRAD,
                                                  CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4,
                                                  CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6,
                                                  CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13};

Descriptor tensor(int64_t id, bool float64, const std::array<int64_t, 4>& extents, bool channels_last) {
  const auto [n, c, h, w] = extents;
  const std::array<int64_t, 4> strides =
      channels_last ? std::array<int64_t, 4>{h * w * c, 1, w * c, c} : std::array<int64_t, 4>{c * h * w, h * w, w, 1};
  const cudnnDataType_t type = float64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
  Descriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, extents.data())
      .set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides.data())
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, Plan::kAlignment)
      .finalize();
  return d;
}

Descriptor convolution(const Convolution& c) {
  const cudnnDataType_t type = c.float64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  Descriptor d(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  d.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2)
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, c.before.data())
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, c.after.data())
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, c.stride.data())
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, c.dilation.data())
      .finalize();
  return d;
}

/// The names of the attributes of one Pass.
struct Names {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t convolution, x, weight, y, alpha, beta;
};
constexpr Names kNames[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

Descriptor operation(const Convolution& c, const Descriptor& x, const Descriptor& weight, const Descriptor& y,
                     const Descriptor& convolution) {
  const Names& n = kNames[static_cast<int>(c.pass)];
  const cudnnBackendAttributeType_t type = c.float64 ? CUDNN_TYPE_DOUBLE : CUDNN_TYPE_FLOAT;
  const double one64 = 1, zero64 = 0;
  const float one32 = 1, zero32 = 0;
  Descriptor d(n.type);
  d.set(n.convolution, convolution)
      .set(n.x, x)
      .set(n.weight, weight)
      .set(n.y, y)
      .set(n.alpha, type, 1, c.float64 ? static_cast<const void*>(&one64) : &one32)
      .set(n.beta, type, 1, c.float64 ? static_cast<const void*>(&zero64) : &zero32)
      .finalize();
  return d;
}

Descriptor graph(const Descriptor& operation, const Handle& handle) {
  const cudnnHandle_t h = handle.raw();
  Descriptor d(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation)
      .set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &h)
      .finalize();
  return d;
}

/// Up to kMost elements of an attribute.
template <class T, size_t kMost>
std::vector<T> list(const Descriptor& d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) {
  T values[kMost];
  return {values, values + d.get(name, type, kMost, values)};
}

/// Up to `most` descriptors that an attribute consists of.
std::vector<Descriptor> descriptors(const Descriptor& d, cudnnBackendAttributeName_t name,
                                    cudnnBackendDescriptorType_t type, int64_t most) {
  std::vector<Descriptor> all;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int64_t i = 0; i < most; ++i) raw.push_back(all.emplace_back(type).raw());
  const int64_t n = d.get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, raw.data());
  while (static_cast<int64_t>(all.size()) > n) all.pop_back();
  return all;
}

bool allowed(const Descriptor& engine, bool float64, const Constraints& constraints) {
  const auto notes = list<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT>(
      engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE);
  const auto has = [&](cudnnBackendNumericalNote_t note) { return std::ranges::find(notes, note) != notes.end(); };
  if (std::ranges::any_of(kNever, has)) return false;
  if (has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE) && !float64 && !constraints.tf32) return false;
  if (has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) && constraints.deterministic) return false;
  // Compiling an engine takes longer than most programs would gain by it.
  const auto behaviour = list<cudnnBackendBehaviorNote_t, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT>(
      engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE);
  return std::ranges::find(behaviour, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) == behaviour.end();
}

Engine read_engine(const Descriptor& config, const Descriptor& engine) {
  Engine e;
  engine.get(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &e.index);
  for (const Descriptor& choice : descriptors(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                              CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS)) {
    cudnnBackendKnobType_t type{};
    int64_t value = 0;
    choice.get(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
    choice.get(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &value);
    e.knobs.emplace_back(type, value);
  }
  return e;
}

}  // namespace

Handle* Handle::of_current_device() {
  static std::mutex mutex;
  static std::array<Handle*, 64> all{};
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess || device >= static_cast<int>(all.size())) return nullptr;
  std::lock_guard lock(mutex);
  Handle*& h = all[static_cast<size_t>(device)];
  if (!h) {
    cudnnHandle_t handle;
    if (cudnnCreate(&handle) != CUDNN_STATUS_SUCCESS) return nullptr;
    h = new Handle(handle);
  }
  return h;
}

std::string Engine::str() const {
  std::string text = std::to_string(index);
  for (const auto& [type, value] : knobs) text += " " + std::to_string(type) + " " + std::to_string(value);
  return text;
}

std::optional<Engine> Engine::parse(const std::string& text) {
  std::istringstream in(text);
  Engine e;
  if (!(in >> e.index)) return std::nullopt;
  for (std::pair<int32_t, int64_t> knob; in >> knob.first >> knob.second;) e.knobs.push_back(knob);
  return in.eof() && e.str() == text ? std::optional(e) : std::nullopt;
}

Operation::Operation(const Convolution& c, const Handle& handle)
    : float64_(c.float64),
      x_(tensor(kX, c.float64, c.x, c.channels_last)),
      weight_(tensor(kWeight, c.float64, c.weight, false)),
      y_(tensor(kY, c.float64, c.y, c.channels_last)),
      convolution_(convolution(c)),
      operation_(cudnn::operation(c, x_, weight_, y_, convolution_)),
      graph_(cudnn::graph(operation_, handle)) {}

std::vector<Engine> Operation::engines(const Constraints& constraints, size_t most) const {
  std::vector<Engine> all;
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK}) {
    Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph_)
        .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode)
        .finalize();
    const int64_t n = heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr);
    for (const Descriptor& config :
         descriptors(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, n)) {
      if (all.size() == most) return all;
      const auto engine = descriptors(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
      if (engine.empty() || !allowed(engine[0], float64_, constraints)) continue;
      const Engine e = read_engine(config, engine[0]);
      if (std::ranges::find(all, e) == all.end()) all.push_back(e);
    }
  }
  return all;
}

Plan::Plan(std::shared_ptr<const Operation> operation, const Engine& engine, const Handle& handle)
    : operation_(std::move(operation)),
      engine_(CUDNN_BACKEND_ENGINE_DESCRIPTOR),
      config_(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR),
      plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
  engine_.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, operation_->graph())
      .set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, engine.index)
      .finalize();
  std::vector<cudnnBackendDescriptor_t> choices;
  for (const auto& [type, value] : engine.knobs) {
    const auto knob = static_cast<cudnnBackendKnobType_t>(type);
    Descriptor& choice = knobs_.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    choice.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &knob)
        .set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value)
        .finalize();
    choices.push_back(choice.raw());
  }
  config_.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine_);
  if (!choices.empty())
    config_.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(choices.size()),
                choices.data());
  config_.finalize();
  const cudnnHandle_t h = handle.raw();
  plan_.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &h)
      .set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config_)
      .finalize();
  int64_t bytes = 0;
  plan_.get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &bytes);
  workspace_ = static_cast<size_t>(bytes);
}

std::shared_ptr<const Plan> Plan::make(std::shared_ptr<const Operation> operation, const Engine& engine,
                                       const Handle& handle) {
  const std::shared_ptr<const Plan> plan(new Plan(std::move(operation), engine, handle));
  return plan->plan_.good() ? plan : nullptr;
}

cudnnStatus_t Plan::run(cudnnHandle_t handle, void* x, void* weight, void* y, void* workspace) const {
  const int64_t ids[] = {kX, kWeight, kY};
  void* const pointers[] = {x, weight, y};
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, ids)
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, pointers)
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace)
      .finalize();
  return pack.good() ? cudnnBackendExecute(handle, plan_.raw(), pack.raw()) : pack.status();
}

}  // namespace twofold::cudnn
