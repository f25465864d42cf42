// Random programs as data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <twofold/twofold.h>

namespace fuzz {

namespace tf = twofold;

/// One line of a program. It makes values output, output + 1, ...; what the fields mean is up to its op (ops.h).
struct Instruction {
  std::string op;
  std::vector<int> inputs;     ///< numbers of values made before
  std::vector<int> variables;  ///< numbers of variables
  int output = 0;
  int outputs = 1;
  tf::DType dtype = tf::float32;
  tf::Shape shape;
  tf::Shape declared;  ///< of a placeholder
  tf::Axes axes, sizes;
  int64_t integer = 0;
  double number[2] = {0, 0};
  bool flag[2] = {false, false};
  uint64_t data = 0;       ///< seed of a leaf's elements
  std::vector<int> after;  ///< values it is bound to by control_dependencies
  int scope = 0;           ///< the name scope it is made in; 0: none

  template <class F>
  void for_each_input(F&& f) {
    for (int& v : inputs) f(v);
    for (int& v : after) f(v);
  }
};

struct VariableDecl {
  tf::DType dtype = tf::float32;
  tf::Shape shape;
  uint64_t data = 0;
  bool random = false;  ///< its initial value is drawn by random_normal
  bool trainable = true;
};

struct Program {
  uint64_t seed = 0;
  std::vector<VariableDecl> variables;
  std::vector<Instruction> body;
  int num_values = 0;
  int runs = 3;
  std::string device = "/cpu:0";  ///< where it runs

  bool on_gpu() const { return device != "/cpu:0"; }

  /// True if anything in it asks for gradients: the body then runs under a tape.
  bool has_gradients() const;
  bool has_writes() const;
  bool has_control_flow() const;
};

/// `program` as the text of a C++ program that runs it in both modes.
std::string to_cpp(const Program& program);

/// Elements that follow from dtype, shape and seed alone: small numbers, many of them equal, and now and then a zero of
/// either sign, an infinity, a NaN, an extreme integer; one in ten has many of the largest, the smallest normal and
/// subnormal numbers and of both ends of the integers.
tf::Tensor leaf_data(tf::DType dtype, const tf::Shape& shape, uint64_t seed);
/// What a placeholder is fed in run number `run`.
inline uint64_t feed_seed(uint64_t data, int run) { return data + static_cast<uint64_t>(run) * 0x9e3779b9u; }

/// SplitMix64: the generator's and the leaves' source of numbers.
class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  /// 0 <= result < n
  int below(int64_t n) { return static_cast<int>(next() % static_cast<uint64_t>(n)); }
  bool one_in(int n) { return below(n) == 0; }

 private:
  uint64_t state_;
};

}  // namespace fuzz
