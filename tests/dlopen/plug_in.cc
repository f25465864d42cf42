// What tests/dlopen/host.c loads: a shared object of somebody else's that uses the library.
#include <exception>
#include <string>

#include <twofold/twofold.h>

namespace tf = twofold;

namespace {

tf::Tensor program(const tf::Tensor& x) { return tf::sum(tf::matmul(x, x) * 2.f + 1.f); }

std::string computed() {
  // ((1 2) (3 4)) squared is ((7 10) (15 22)), of sum 54.
  const tf::Tensor value = tf::tensor({{1.f, 2.f}, {3.f, 4.f}});
  const float right = 2 * 54 + 4;
  const float eager = tf::eagerly([&] { return program(value).item<float>(); });
  if (eager != right) return "eager: " + std::to_string(eager);
  const tf::Graph graph;
  const auto current = graph.as_default();
  const auto x = tf::placeholder(tf::float32, {2, 2});
  const auto y = program(x);
  const tf::Session session;
  const float deferred = session.run(y, {{x, value}}).item<float>();
  if (deferred != right) return "deferred: " + std::to_string(deferred);
  try {
    session.run(y, {{x, 1.f}});
    return "a feed of another shape was taken";
  } catch (const tf::Error& e) {  // caught across the border of the two objects
    return e.code() == tf::Code::InvalidArgument ? "" : e.what();
  }
}

}  // namespace

/// An empty text, or what is wrong.
extern "C" __attribute__((visibility("default"))) const char* compute() {
  static thread_local std::string said;
  try {
    said = computed();
  } catch (const std::exception& e) {
    said = e.what();
  }
  return said.c_str();
}
