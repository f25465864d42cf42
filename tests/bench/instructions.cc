// usage: instructions WORK TIMES     does one kind of work that often, for instructions.py to count under callgrind
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <string>

#include <twofold/twofold.h>

namespace tf = twofold;

namespace {

constexpr int kChain = 1000;

void eager_add(int times) {
  const tf::Tensor a = tf::tensor(1.f), b = tf::tensor(2.f);
  for (int i = 0; i < times; ++i) a + b;
}

void with_line(const std::function<void(const tf::Session&, const tf::Tensor& x, const tf::Tensor& y)>& f) {
  const tf::Variable a(1.f), b(2.f);
  const auto x = tf::placeholder(tf::float32);
  const tf::Tensor y = a * x + b;
  const tf::Session session;
  session.run(tf::global_variables_initializer());
  f(session, x, y);
}

void session_run(int times) {
  with_line([=](const tf::Session& session, const tf::Tensor& x, const tf::Tensor& y) {
    for (int i = 0; i < times; ++i) session.run(y, {{x, 3.f}});
  });
}

void callable(int times) {
  with_line([=](const tf::Session& session, const tf::Tensor& x, const tf::Tensor& y) {
    const auto call = session.make_callable(y, {x});
    for (int i = 0; i < times; ++i) call(3.f);
  });
}

void planned_nodes(int times) {
  const auto x = tf::placeholder(tf::float32, tf::Shape{}), a = tf::placeholder(tf::float32, tf::Shape{});
  tf::Tensor y = x;
  for (int i = 0; i < kChain; i += 2) y = y * a + a;
  const tf::Session session({.optimize = false});
  const auto call = session.make_callable(y, {x, a});
  for (int i = 0; i < times; ++i) call(1.f, 0.5f);
}

const std::map<std::string, void (*)(int)> kWorks = {
    {"eager_add", eager_add}, {"session_run", session_run}, {"callable", callable}, {"planned_nodes", planned_nodes}};

}  // namespace

int main(int argc, char** argv) {
  const auto work = argc == 3 ? kWorks.find(argv[1]) : kWorks.end();
  if (work == kWorks.end()) {
    std::cerr << "usage: instructions WORK TIMES; the works:";
    for (const auto& [name, f] : kWorks) std::cerr << ' ' << name;
    std::cerr << '\n';
    return 2;
  }
  work->second(std::atoi(argv[2]));
}
