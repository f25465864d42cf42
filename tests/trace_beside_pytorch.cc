// The program of tests/data/trace/pytorch.py with tf::trace: what both print is compared.
#include <iostream>
#include <string>

#include <twofold/twofold.h>

namespace tf = twofold;
using tf::Tensor;

namespace {

std::string text(const Tensor& t) {
  std::string out;
  for (const float v : t.data<float>()) {
    out += (out.empty() ? "[" : ", ") + std::to_string(static_cast<int>(v)) + ".0";
  }
  return out + "]";
}

}  // namespace

int main() {
  tf::EagerMode eager;
  auto program = tf::trace(
      [](Tensor x) {
        if (tf::sum(x) > 0) return x * 2;
        return -x;
      },
      tf::tensor({1.f, 2.f}));
  auto scaled = tf::trace([](Tensor x) { return x / static_cast<float>(x.shape()[0]); }, tf::tensor({2.f, 4.f}));
  auto repeated = tf::trace(
      [](Tensor x, Tensor n) {
        for (int i = 0; i < n.item<int>(); ++i) x = x + 1;
        return x;
      },
      {tf::tensor({0.f}), 2});
  std::cout << "program " << text(program(tf::tensor({3.f, 4.f}))) << ' ' << text(program(tf::tensor({-3.f, -4.f})))
            << '\n'
            << "scaled " << text(scaled(tf::tensor({2.f, 4.f}))) << ' ' << text(scaled(tf::tensor({3.f, 6.f, 9.f})))
            << '\n'
            << "repeated " << text(repeated(tf::tensor({0.f}), 2)) << ' ' << text(repeated(tf::tensor({0.f}), 5))
            << '\n';
}
