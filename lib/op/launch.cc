#include <twofold/lib/op/launch.h>

#include <fmt/format.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <unordered_map>

#include <twofold/lib/op/late_errors.h>
#include <twofold/lib/op/transaction.h>
#include <twofold/lib/runtime/allocator.h>
#include <twofold/lib/runtime/gpu_memory.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/parallel_for.h>
#include <twofold/lib/runtime/plugin.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/lib/runtime/thread_pool.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {
namespace {

// One signature, owned by the cache or borrowed for a look-up.
struct Key {
  const OpDef* op;
  Device device;
  AttrsView attrs;
  std::span<const TensorSpec> inputs;
  std::span<const TensorSpec> outputs;
  uint64_t numerics;
  uint64_t hash;

  Key(const OpDef& o, Device d, AttrsView a, std::span<const TensorSpec> in, std::span<const TensorSpec> out,
      uint64_t n)
      : op(&o), device(d), attrs(a), inputs(in), outputs(out), numerics(n) {
    hash = mix(mix(static_cast<uint64_t>(o.id), static_cast<uint64_t>(d.index) << 8 | numerics), a.hash());
    for (const auto& s : in) hash = mix(mix(hash, static_cast<uint64_t>(s.dtype)), hash_field(s.shape));
    for (const auto& s : out) hash = mix(mix(hash, static_cast<uint64_t>(s.dtype)), hash_field(s.shape));
  }
  friend bool operator==(const Key& a, const Key& b) {
    return a.hash == b.hash && a.op == b.op && a.device == b.device && a.numerics == b.numerics && a.attrs == b.attrs &&
           std::ranges::equal(a.inputs, b.inputs) && std::ranges::equal(a.outputs, b.outputs);
  }
};
struct KeyHash {
  size_t operator()(const Key& k) const { return k.hash; }
};

struct Entry {
  Ref<AttrsBox> attrs;
  std::vector<TensorSpec> inputs, outputs;
  std::shared_ptr<const Prepared> prepared;
};

class PreparedCache {
 public:
  std::shared_ptr<const Prepared> find(const Key& key) {
    std::shared_lock lock(mutex_);
    const auto it = entries_.find(key);
    return it == entries_.end() ? nullptr : it->second->prepared;
  }
  std::shared_ptr<const Prepared> insert(const Key& key, Prepared prepared) {
    auto entry = std::make_unique<Entry>();
    if (key.attrs) entry->attrs = make_ref<AttrsBox>(key.attrs);
    entry->inputs.assign(key.inputs.begin(), key.inputs.end());
    entry->outputs.assign(key.outputs.begin(), key.outputs.end());
    entry->prepared = std::make_shared<const Prepared>(std::move(prepared));
    Key owned = key;
    owned.attrs = entry->attrs ? entry->attrs->view() : AttrsView();
    owned.inputs = entry->inputs;
    owned.outputs = entry->outputs;
    std::unique_lock lock(mutex_);
    if (entries_.size() >= kMost) entries_.clear();  // programs with ever new shapes; what runs keeps its Prepared
    return entries_.emplace(owned, std::move(entry)).first->second->prepared;
  }

 private:
  static constexpr size_t kMost = 4096;
  std::shared_mutex mutex_;
  std::unordered_map<Key, std::unique_ptr<Entry>, KeyHash> entries_;  // guarded by mutex_
};
PreparedCache& prepared_cache() {
  static auto* cache = new PreparedCache;
  return *cache;
}

[[noreturn]] void no_kernel(const OpDef& op, std::span<const TensorSpec> inputs, Device device) {
  std::string dtypes;
  for (const auto& s : inputs) dtypes += (dtypes.empty() ? "" : ", ") + std::string(name_of(s.dtype));
  fail(Code::Unimplemented, fmt::format("'{}' has no kernel for ({}) on {}", op.name, dtypes, device.name()),
       device.is_cpu() ? "tf::cast(x, tf::float32)" : "tf::device(\"/cpu:0\")");
}

// Scratch memory for one call.
class Workspace {
 public:
  Workspace(size_t bytes, Device device) : bytes_(bytes) {
    if (!bytes_) return;
    if (!device.is_cpu()) pool_ = &GpuPool::eager(device.gpu());
    data_ = pool_ ? pool_->allocate(bytes) : allocate(bytes);
  }
  ~Workspace() {
    if (data_) pool_ ? pool_->deallocate(data_, bytes_) : deallocate(data_, bytes_);
  }
  Workspace(const Workspace&) = delete;
  void* data() const { return data_; }

 private:
  size_t bytes_;
  GpuPool* pool_ = nullptr;
  void* data_ = nullptr;
};

// Where an op runs now, on values.
Device device_now(const OpDef& op, Inputs inputs) {
  const auto refuse = [&](Device first, Device other) {
    fail(Code::InvalidArgument, fmt::format("'{}' has inputs on {} and on {}", op.name, first.name(), other.name()),
         "x.to(\"" + first.name() + "\")");
  };
  return device_of(
             op, t_state.device, inputs.size(), [&](size_t i) { return inputs[i]->value()->device(); }, refuse)
      .value_or(Device{});
}

}  // namespace

std::atomic<uint8_t> internal::g_numerics{static_cast<uint8_t>(MathMode::strict) << 1 | 1};

// Two threads that throw different switches at once both have their way.
static void change_numerics(uint8_t mask, uint8_t bits) {
  uint8_t now = internal::g_numerics;
  while (!internal::g_numerics.compare_exchange_weak(now, static_cast<uint8_t>((now & ~mask) | bits))) {
  }
}
void set_math_mode(MathMode mode) {
  if (mode > MathMode::pedantic)
    fail(Code::InvalidArgument, fmt::format("There is no math mode {}", static_cast<int>(mode)),
         "tf::MathMode::strict");
  change_numerics(0xFE, static_cast<uint8_t>(static_cast<uint8_t>(mode) << 1));
}
void set_deterministic(bool on) { change_numerics(1, on); }

void infer(const OpDef& op, std::span<const TensorSpec> inputs, AttrsView attrs, std::span<const Tensor* const> tensors,
           SmallVector<TensorSpec, 2>& outputs) {
  const auto n = static_cast<int>(inputs.size());
  if (n < op.min_inputs || (op.max_inputs >= 0 && n > op.max_inputs))
    fail(Code::Internal, fmt::format("'{}' was given {} inputs", op.name, n));
  InferContext context(op, inputs, attrs, tensors);
  context.check_lists();
  op.infer(context);
  for (const auto& s : context.outputs()) outputs.push_back(s);
}

std::shared_ptr<const Prepared> prepare(const OpDef& op, AttrsView attrs, std::span<const TensorSpec> inputs,
                                        std::span<const TensorSpec> outputs, Device device, uint64_t numerics) {
  const Key key(op, device, attrs, inputs, outputs, numerics);
  if (auto found = prepared_cache().find(key)) return found;
  const PrepareFn fn = find_kernel(op.id, device);
  if (!fn) no_kernel(op, inputs, device);
  if (!device.is_cpu()) gpu_runtime()->stream(device.gpu());  // makes it current: kernels may ask what it can do
  Prepared prepared = fn({.inputs = inputs,
                          .outputs = outputs,
                          .attrs = attrs.data(),
                          .math_mode = internal::math_mode_of(numerics),
                          .deterministic = internal::deterministic_of(numerics)});
  if (!prepared.fn) no_kernel(op, inputs, device);
  if (prepared.provisional) return std::make_shared<const Prepared>(std::move(prepared));
  return prepared_cache().insert(key, std::move(prepared));
}

void launch(const OpDef& op, Inputs inputs, AttrsView attrs, uint64_t random_counter, Outputs& outputs,
            std::chrono::nanoseconds* kernel_time, std::span<const Tensor> over, uint64_t numerics) {
  if (op.specialise) {
    const Specialised now = op.specialise(attrs, inputs);
    return launch(*now.op, inputs.first(now.inputs), now.attrs->view(), random_counter, outputs, kernel_time, over,
                  numerics);
  }
  if (kernel_time) *kernel_time = {};
  SmallVector<TensorSpec, 4> in;
  for (const Tensor* t : inputs) in.push_back(t->value()->spec());
  SmallVector<TensorSpec, 2> out;
  infer(op, in, attrs, inputs, out);
  if (op.run) return op.run(attrs, inputs, outputs);
  for (const TensorSpec& s : out) {
    if (!s.shape.is_known())
      fail(Code::InvalidArgument,
           fmt::format("'{}' cannot be computed: its result's shape {} is not known", op.name, s.shape.str()));
  }
  const int64_t start = op.flags.alias ? 0 : op.view ? op.view(attrs, in[0].shape, out[0].shape) : -1;
  if (start >= 0) {
    const auto offset = start * static_cast<int64_t>(size_of(in[0].dtype));
    outputs.push_back(Tensor::adopt(Value::view(Ref<Value>(inputs[0]->value()), out[0].shape, offset).detach()));
    return;
  }
  const Device device = device_now(op, inputs);
  std::optional<ProfilerRange> range;
  if (!device.is_cpu()) range.emplace([&] { return op.name; });
  SmallVector<void*, 8> args;
  SmallVector<Tensor, 4> moved;  // copies of inputs that were elsewhere
  Ref<LateErrors> late;          // what may spoil the results
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor* t = inputs[i];
    if (t->value()->device() != device && !t->value()->is_shell() && op.reads_on_device(i)) {
      moved.push_back(copied_operand(*t, device));
      t = &moved.back();
    }
    args.push_back(t->value()->data());
    if (const LateErrors* errors = t->value()->late_errors()) {
      errors->check();  // what is known already
      late = LateErrors::joined(late.get(), errors);
    }
  }
  KernelContext context{.parallel = parallel_for(), .random_counter = random_counter};
  Ref<LateUnit> own;  // of an op that may fail, where it belongs to none
  if (!device.is_cpu()) {
    LateUnit* unit = InLateUnit::current();
    if (!unit && t_state.transaction) unit = t_state.transaction->late_unit(op.flags.can_fail ? device.gpu() : -1);
    if (op.flags.can_fail) {
      if (!unit) unit = (own = make_ref<LateUnit>(0)).get();
      context.device_error = unit->word(device.gpu());
      context.tag = unit->add({&op, attrs ? make_ref<AttrsBox>(attrs) : nullptr, "", t_state.current});
      const auto errors = make_ref<LateErrors>(Ref<LateUnit>(unit));
      late = LateErrors::joined(late.get(), errors.get());
    } else if (unit) {
      context.device_error = unit->known_word(device.gpu());
    }
    context.stream = gpu_runtime()->stream(device.gpu());  // and makes the GPU current
  }
  for (size_t i = 0; i < out.size(); ++i) {
    const bool given = i < over.size() && over[i].defined();
    outputs.push_back(given ? over[i] : Tensor::adopt(Value::make(out[i].dtype, out[i].shape, device).detach()));
    args.push_back(outputs.back().value()->data());
    if (late && !given) outputs.back().value()->set_late_errors(late);
  }
  const auto run = [&](const Prepared& prepared) {
    const Workspace workspace(prepared.workspace, device);
    context.workspace = workspace.data();
    if (!kernel_time) return prepared.fn(prepared.params, args.data(), context);
    const DeviceTimer timer(device, current_ledger(), op.name);
    const auto start = std::chrono::steady_clock::now();
    prepared.fn(prepared.params, args.data(), context);
    if (device.is_cpu()) *kernel_time = std::chrono::steady_clock::now() - start;
  };
  if (op.flags.pointwise && device.is_cpu()) {  // preparing one costs less than looking it up
    const PrepareFn fn = find_kernel(op.id, device);
    const Prepared prepared = fn ? fn({.inputs = in, .outputs = out, .attrs = attrs.data()}) : Prepared();
    if (!prepared.fn) no_kernel(op, in, device);
    run(prepared);
  } else {
    run(*prepare(op, attrs, in, out, device, numerics));
  }
  check_kernel(op, attrs, context);
  if (own) own->close();
}

void check_kernel(const OpDef& op, AttrsView attrs, const KernelContext& context) {
  switch (context.error) {
    case KernelError::none: return;
    case KernelError::index_out_of_range:
      fail(Code::OutOfRange,
           fmt::format("'{}' was given the index {}, which is out of range", op.name, context.error_index));
    case KernelError::out_of_memory: fail(Code::ResourceExhausted, fmt::format("'{}' ran out of memory", op.name));
    case KernelError::refused:
      if (op.refusal) fail(Code::InvalidArgument, op.refusal(attrs, context.error_index));
      break;
    case KernelError::device_failure: break;
  }
  if (const GpuRuntime* gpu = gpu_runtime(); gpu && gpu->is_fatal(static_cast<int>(context.error_index)))
    check_gpu(static_cast<int>(context.error_index), op.name);
  fail(Code::Internal, fmt::format("'{}' failed on its device (error {})", op.name, context.error_index));
}

}  // namespace twofold
