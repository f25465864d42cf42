// What an op costs beside its arithmetic, in both modes, and loads of work: the rows of docs/benchmarks.md, and
// convolutions.
#include <benchmark/benchmark.h>

#include <time.h>

#include <optional>

#include <twofold/twofold.h>

namespace tf = twofold;

namespace {

constexpr int64_t kLarge = int64_t{1} << 24;
constexpr int kChain = 1000;
constexpr int kMillion = 1'000'000;

void eager_add(benchmark::State& state) {
  const tf::Tensor a = tf::tensor(1.f), b = tf::tensor(2.f);
  for (auto _ : state) benchmark::DoNotOptimize(a + b);
}
BENCHMARK(eager_add);

// y = a * x + b of scalars, a and b variables.
struct Line {
  tf::Graph graph;
  tf::Tensor x, y;
  std::optional<tf::Session> session;

  Line() {
    const auto current = graph.as_default();
    const tf::Variable a(1.f), b(2.f);
    x = tf::placeholder(tf::float32);
    y = a * x + b;
    session.emplace();
    session->run(tf::global_variables_initializer());
  }
};

void session_run(benchmark::State& state) {
  const Line line;
  for (auto _ : state) benchmark::DoNotOptimize(line.session->run(line.y, {{line.x, 3.f}}));
}
BENCHMARK(session_run);

void callable(benchmark::State& state) {
  const Line line;
  const auto call = line.session->make_callable(line.y, {line.x});
  for (auto _ : state) benchmark::DoNotOptimize(call(3.f));
}
BENCHMARK(callable);

// A chain of `nodes` scalar ops, x * a + b again and again. The numbers stay near b / (1 - a).
struct Chain {
  tf::Tensor x, a, b, y;

  explicit Chain(int nodes) {
    x = tf::placeholder(tf::float32, tf::Shape{});
    a = tf::placeholder(tf::float32, tf::Shape{});
    b = tf::placeholder(tf::float32, tf::Shape{});
    y = x;
    for (int i = 0; i < nodes; i += 2) y = y * a + b;
  }
};

// Items are ops: the time of one is 1 / items_per_second.
void chain(benchmark::State& state, bool optimize) {
  const tf::Graph graph;
  const auto current = graph.as_default();
  const Chain chain(kChain);
  const tf::Session session({.optimize = optimize});
  const auto call = session.make_callable(chain.y, {chain.x, chain.a, chain.b});
  for (auto _ : state) benchmark::DoNotOptimize(call(1.f, 0.5f, 1.f));
  state.SetItemsProcessed(state.iterations() * kChain);
}
BENCHMARK_CAPTURE(chain, off, false);
BENCHMARK_CAPTURE(chain, on, true);

void relu_eager(benchmark::State& state) {
  const tf::EagerMode eager;
  const tf::Tensor u = tf::random_uniform({kLarge}), w = tf::random_uniform({kLarge});
  for (auto _ : state) benchmark::DoNotOptimize(tf::relu(u * w + u) * w);
}
BENCHMARK(relu_eager)->Unit(benchmark::kMillisecond)->UseRealTime();

void relu_deferred(benchmark::State& state, bool optimize) {
  const auto [u_value, w_value] = tf::eagerly([] {
    return std::pair{tf::random_uniform({kLarge}), tf::random_uniform({kLarge})};
  });
  const tf::Graph graph;
  const auto current = graph.as_default();
  const tf::Tensor u = tf::placeholder(tf::float32, {kLarge}), w = tf::placeholder(tf::float32, {kLarge});
  const tf::Session session({.optimize = optimize});
  const auto call = session.make_callable(tf::relu(u * w + u) * w, {u, w});
  for (auto _ : state) benchmark::DoNotOptimize(call(u_value, w_value));
}
BENCHMARK_CAPTURE(relu_deferred, off, false)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(relu_deferred, on, true)->Unit(benchmark::kMillisecond)->UseRealTime();

// A convolution, or its gradient by x (which conv2d_transpose is), eagerly.
void convolution(benchmark::State& state, const tf::Shape& x_shape, const tf::Shape& w_shape,
                 const tf::Conv2dOptions& options, bool by_x) {
  const tf::EagerMode eager;
  const tf::Tensor x = tf::random_normal(x_shape), w = tf::random_normal(w_shape), y = tf::conv2d(x, w, options);
  const tf::Conv2dTransposeOptions transposed{.stride = options.stride, .padding = options.padding};
  for (auto _ : state)
    benchmark::DoNotOptimize(by_x ? tf::conv2d_transpose(y, w, transposed) : tf::conv2d(x, w, options));
  state.SetItemsProcessed(state.iterations() * y.num_elements() * w.num_elements() / w_shape[0]);
}
// Words of a sentence, 300 numbers each, three at a time; the last layer of a decoder of images. Items are products.
void wide_kernel(benchmark::State& state, bool by_x) {
  convolution(state, {16, 1, 20, 300}, {100, 1, 3, 300}, {}, by_x);
}
void one_channel(benchmark::State& state, bool by_x) {
  convolution(state, {8, 1, 64, 64}, {64, 1, 4, 4}, {.stride = 2, .padding = 1}, by_x);
}
BENCHMARK_CAPTURE(wide_kernel, conv2d, false)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(wide_kernel, by_x, true)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(one_channel, conv2d, false)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(one_channel, by_x, true)->Unit(benchmark::kMillisecond)->UseRealTime();

double thread_nanoseconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return 1e9 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec);
}

// The life of a graph of a million nodes, once; counters are nanoseconds of processor time a node.
void million_nodes(benchmark::State& state, bool optimize) {
  for (auto _ : state) {
    double last = thread_nanoseconds();
    const auto lap = [&](const char* name) {
      state.counters[name] = (thread_nanoseconds() - last) / kMillion;
      last = thread_nanoseconds();
    };
    {
      std::optional<tf::Graph> graph(std::in_place);
      std::optional<Chain> chain;
      {
        const auto current = graph->as_default();
        chain.emplace(kMillion);
      }
      lap("build");
      std::optional<tf::Session> session(std::in_place, *graph, tf::SessionOptions{.optimize = optimize});
      const auto run = [&] { return session->run(chain->y, {{chain->x, 1.f}, {chain->a, 0.5f}, {chain->b, 1.f}}); };
      const tf::Tensor planned = run();
      lap("plan");
      const tf::Tensor again = run();
      lap("run");
      if (planned.item<float>() != 2.f || again.item<float>() != 2.f) state.SkipWithError("the chain gives not 2");
      last = thread_nanoseconds();
      session.reset(), chain.reset(), graph.reset();
    }
    lap("destroy");
  }
}
BENCHMARK_CAPTURE(million_nodes, off, false)->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(million_nodes, on, true)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
