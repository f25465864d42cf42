#include "check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iomanip>
#include <map>
#include <memory>
#include <sstream>

#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/runtime/parallel_for.h>
#include <twofold/lib/runtime/thread_pool.h>
#include <twofold/session/session.h>

namespace op_test {

using namespace twofold;

uint64_t Random::next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

namespace {

double draw(const Range& range, DType t, Random& random) {
  if (t == bool_) return random.next() & 1;
  if (is_integer(t)) {
    const double low = t == uint8 ? std::max(0.0, std::ceil(range.low)) : std::ceil(range.low);
    const double high = t == uint8 ? std::min(255.0, range.high) : range.high;
    return low + std::floor(random.uniform() * (std::floor(high) - low + 1));
  }
  double v = range.low + (range.high - range.low) * random.uniform();
  if (random.uniform() < 0.25) {  // some equal ones
    const double half = std::round(v * 2) / 2;
    if (half >= range.low && half <= range.high) v = half;
  }
  return stored(v, t);
}

}  // namespace

Arrays sample(const Record& r, const std::vector<Shape>& shapes, DType dtype, bool apart, Random& random) {
  Arrays inputs;
  size_t total = 0;
  for (const Shape& s : shapes) total += static_cast<size_t>(s.num_elements());
  std::vector<size_t> strata(total);
  for (size_t i = 0; i < total; ++i) std::swap(strata[i] = i, strata[random.next() % (i + 1)]);
  size_t next = 0;
  for (size_t k = 0; k < shapes.size(); ++k) {
    const DType t = k < r.fixed.size() && r.fixed[k] ? *r.fixed[k] : dtype;
    const Range range = r.samples.empty() ? Range{} : r.samples[std::min(k, r.samples.size() - 1)];
    Array a{t, shapes[k], {}};
    for (int64_t i = 0; i < shapes[k].num_elements(); ++i) {
      double v = draw(range, t, random);
      if (apart && is_floating(t)) {
        const double place = static_cast<double>(strata[next++]) + 0.3 + 0.4 * random.uniform();
        v = stored(range.low + (range.high - range.low) * place / static_cast<double>(total), t);
        if (std::abs(v) < 1e-3) v = 2e-3;
      }
      a.values.push_back(v);
    }
    inputs.push_back(std::move(a));
  }
  return inputs;
}

namespace {
void store(const Array& a, void* to) {
  dispatch(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (size_t i = 0; i < a.values.size(); ++i) static_cast<T*>(to)[i] = static_cast<T>(a.values[i]);
  });
}
}  // namespace

Tensor to_tensor(const Array& a) {
  auto v = Value::make(a.dtype, a.shape);
  store(a, v->data());
  return Tensor::adopt(v.detach());
}

Tensor to_unaligned_tensor(const Array& a, Device device) {
  constexpr int64_t kSkipped = 3;
  auto base = Value::make(a.dtype, Shape{a.shape.num_elements() + kSkipped});
  const auto offset = kSkipped * static_cast<int64_t>(size_of(a.dtype));
  store(a, static_cast<std::byte*>(base->data()) + offset);
  const Tensor there = moved_to(Tensor::adopt(base.detach()), device);
  return Tensor::adopt(Value::view(Ref<Value>(there.value()), a.shape, offset).detach());
}

Tensors to_tensors(const Arrays& arrays) {
  Tensors t;
  for (const Array& a : arrays) t.push_back(to_tensor(a));
  return t;
}

std::string difference(const Tensor& got, const Array& wanted, const Record& r) {
  std::ostringstream text;
  if (got.dtype() != wanted.dtype || got.shape() != wanted.shape) {
    text << "got " << got.dtype() << got.shape() << ", wanted " << wanted.dtype << wanted.shape;
    return text.str();
  }
  const double tolerance = r.exact || !is_floating(got.dtype()) ? 0
                           : got.dtype() == float32             ? r.tolerance32
                                                                : r.tolerance64;
  dispatch(got.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* p = static_cast<const T*>(got.value()->on_host().data());
    for (size_t i = 0; i < wanted.values.size() && text.tellp() == 0; ++i) {
      const double have = static_cast<double>(p[i]), want = wanted.values[i];
      const double size = std::max({1.0, std::abs(want), wanted.magnitude.empty() ? 0.0 : wanted.magnitude[i]});
      const bool good = std::isnan(want)   ? std::isnan(have)
                        : std::isinf(want) ? have == want
                                           : std::abs(have - want) <= tolerance * size;
      if (!good) text << std::setprecision(17) << "element " << i << " is " << have << ", wanted " << want;
    }
  });
  return text.str();
}

std::string bit_difference(const Tensor& a, const Tensor& b) {
  std::ostringstream text;
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) {
    text << a.dtype() << a.shape() << " against " << b.dtype() << b.shape();
    return text.str();
  }
  const auto* p = static_cast<const std::byte*>(a.value()->on_host().data());
  const auto* q = static_cast<const std::byte*>(b.value()->on_host().data());
  const size_t size = size_of(a.dtype()), bytes = a.value()->bytes();
  if (bytes == 0 || std::memcmp(p, q, bytes) == 0) return "";
  const size_t i = static_cast<size_t>(std::mismatch(p, p + bytes, q).first - p) / size;
  dispatch(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    text << std::setprecision(17) << "element " << i << " of " << a.dtype() << a.shape() << ": "
         << +reinterpret_cast<const T*>(p)[i] << " against " << +reinterpret_cast<const T*>(q)[i];
  });
  return text.str();
}

std::string bit_difference(const Tensors& a, const Tensors& b) {
  if (a.size() != b.size()) return std::to_string(a.size()) + " against " + std::to_string(b.size()) + " results";
  for (size_t i = 0; i < a.size(); ++i)
    if (std::string d = bit_difference(a[i], b[i]); !d.empty()) return "result " + std::to_string(i) + ": " + d;
  return "";
}

Tensors run_eagerly(const Call& call, const Tensors& inputs) {
  EagerMode eager;
  return call(inputs);
}

namespace {
Shape as_known(const Shape& s, Known known) {
  return known == Known::shapes ? s : known == Known::ranks ? Shape::of_rank(s.rank()) : unknown_shape;
}
}  // namespace

Tensors run_deferred(const Call& call, const Tensors& inputs, Known known, const SessionOptions& options, int runs) {
  Graph graph;
  const auto scope = graph.as_default();
  DeferredMode deferred;
  Tensors symbols;
  std::vector<Feed> feeds;
  for (const Tensor& t : inputs) {
    symbols.push_back(placeholder(t.dtype(), as_known(t.shape(), known)));
    feeds.emplace_back(symbols.back(), t);
  }
  const Tensors results = call(symbols);
  Tensors wanted;  // some may be values already
  for (const Tensor& t : results)
    if (t.is_symbolic()) wanted.push_back(t);
  const Session session(graph, options);
  Tensors all;
  for (int run = 0; run < runs; ++run) {
    const Tensors fetched = session.run(wanted, feeds);
    auto next = fetched.begin();
    for (const Tensor& t : results) all.push_back(t.is_symbolic() ? *next++ : t);
  }
  return all;
}

namespace {

constexpr size_t kGuard = 64;
constexpr std::byte kPattern{0xC9};

/// Memory with guard bands right before and after it.
class Guarded {
 public:
  explicit Guarded(size_t bytes) : bytes_(bytes), all_(new (std::align_val_t(64)) std::byte[bytes + 2 * kGuard]) {
    std::memset(all_, static_cast<int>(kPattern), bytes_ + 2 * kGuard);
  }
  ~Guarded() { ::operator delete[](all_, std::align_val_t(64)); }
  Guarded(Guarded&& o) noexcept : bytes_(o.bytes_), all_(std::exchange(o.all_, nullptr)) {}
  void* data() const { return all_ + kGuard; }
  bool intact() const {
    const auto whole = [](const std::byte* p) {
      return std::all_of(p, p + kGuard, [](auto b) { return b == kPattern; });
    };
    return whole(all_) && whole(all_ + kGuard + bytes_);
  }

 private:
  size_t bytes_;
  std::byte* all_;
};

Tensors launch_guarded(const OpDef& op, const std::vector<const Tensor*>& inputs, AttrsView attrs, std::string& broke) {
  SmallVector<TensorSpec, 4> in;
  for (const Tensor* t : inputs) in.push_back(t->value()->spec());
  SmallVector<TensorSpec, 2> out;
  infer(op, in, attrs, inputs, out);
  const auto prepared = prepare(op, attrs, in, out, Device{}, internal::numerics_word());
  std::vector<void*> args;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool shape_only = op.reads_shape(i);
    args.push_back(shape_only ? nullptr : inputs[i]->value()->data());
  }
  std::vector<Guarded> buffers;
  for (const TensorSpec& s : out) {
    const size_t i = buffers.size(), bytes = static_cast<size_t>(s.shape.num_elements()) * size_of(s.dtype);
    buffers.emplace_back(bytes);
    args.push_back(buffers.back().data());
    if (i >= std::size(op.in_place) || op.in_place[i] < 0) continue;
    void*& under = args[static_cast<size_t>(op.in_place[i])];
    if (bytes) std::memcpy(args.back(), under, bytes);
    under = args.back();
  }
  const Guarded workspace(prepared->workspace);
  KernelContext context{.parallel = parallel_for(), .workspace = workspace.data()};
  prepared->fn(prepared->params, args.data(), context);
  check_kernel(op, attrs, context);
  Tensors results;
  for (size_t i = 0; i < out.size(); ++i) {
    if (!buffers[i].intact()) broke += std::string(op.name) + " wrote beyond its output; ";
    auto v = Value::make(out[i].dtype, out[i].shape);
    if (v->bytes()) std::memcpy(v->data(), buffers[i].data(), v->bytes());
    results.push_back(Tensor::adopt(v.detach()));
  }
  if (!workspace.intact()) broke += std::string(op.name) + " wrote beyond its workspace; ";
  return results;
}

}  // namespace

Tensors run_guarded(const Call& call, const Tensors& inputs, std::string& what_broke) {
  Graph graph;
  const auto scope = graph.as_default();
  DeferredMode deferred;
  Tensors symbols;
  std::map<uint64_t, Tensor> values;
  for (const Tensor& t : inputs) {
    symbols.push_back(placeholder(t.dtype(), t.shape()));
    values[Edge{symbols.back().node(), 0}.key()] = t;
  }
  const Tensors results = call(symbols);
  const GraphData& g = *graph.data();
  for (uint32_t id = 0; id < g.size(); ++id) {
    const Node& n = g.node(id);
    if (n.op == &placeholder_op || n.op->outputs == 0) continue;
    std::vector<const Tensor*> in;
    for (Edge e : n.inputs) in.push_back(&values.at(e.key()));
    Tensors out;
    if (n.op == &constant_op) {
      out = {n.attrs->view().as<ConstantAttrs>().value.tensor};
    } else if (n.op->flags.alias) {
      EagerMode eager;
      out = {apply(*n.op, in, n.attrs_view(), n.where)};
    } else if (n.op->specialise) {
      const Specialised now = n.op->specialise(n.attrs_view(), in);
      in.resize(now.inputs);
      out = launch_guarded(*now.op, in, now.attrs->view(), what_broke);
    } else {
      out = launch_guarded(*n.op, in, n.attrs_view(), what_broke);
    }
    for (uint16_t i = 0; i < out.size(); ++i) values[Edge{id, i}.key()] = out[i];
  }
  Tensors got;
  for (const Tensor& t : results) got.push_back(t.is_symbolic() ? values.at(Edge{t.node(), t.output()}.key()) : t);
  return got;
}

Threads::Threads(int n) : before_(num_threads()) { set_num_threads(n); }
Threads::~Threads() { set_num_threads(before_); }

std::string check_parity(const Call& call, const Arrays& inputs, const Tensors& expected, bool needs_rank) {
  const Tensors aligned = to_tensors(inputs), originals = to_tensors(inputs);
  const auto report = [](const std::string& how, const std::string& d) {
    return d.empty() ? d : how + ": " + d + "\n";
  };
  std::string wrong;
  for (int n : {1, 2, 5}) {
    const Threads threads(n);
    wrong += report(std::to_string(n) + " threads", bit_difference(run_eagerly(call, aligned), expected));
  }
  Tensors unaligned;
  for (const Array& a : inputs) unaligned.push_back(to_unaligned_tensor(a));
  wrong += report("unaligned", bit_difference(run_eagerly(call, unaligned), expected));
  for (const Known known : {Known::shapes, Known::ranks, Known::nothing})
    for (const bool optimize : {false, true}) {
      const char* kKnown[] = {"deferred", "deferred, ranks known", "deferred, shapes unknown"};
      const std::string how = std::string(kKnown[static_cast<int>(known)]) + (optimize ? ", optimised" : "");
      try {
        wrong += report(how, bit_difference(run_deferred(call, aligned, known, {.optimize = optimize}), expected));
        if (needs_rank && known == Known::nothing) wrong += how + ": no error\n";
      } catch (const Error& e) {
        if (needs_rank && known == Known::nothing && e.message().find("needs the rank") != std::string::npos) continue;
        wrong += how + ": " + e.what() + "\n";
      }
    }
  std::string broke;
  wrong += report("guarded", bit_difference(run_guarded(call, aligned, broke), expected));
  wrong += report("guarded", broke);
  wrong += report("inputs", bit_difference(aligned, originals));
  return wrong;
}

}  // namespace op_test
