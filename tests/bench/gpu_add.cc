// Nanoseconds of an eager addition of scalars on a GPU, and of a launch of a kernel that does nothing: what no such
// addition can undercut. Both in turn, as lists in a JSON object. Prints null where there is no GPU.
//
// usage: gpu_add [ROUNDS]
#include <twofold/twofold.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>

namespace tf = twofold;

/// raw_launch.cu: seconds of `n` launches one after another, until the last is done; negative if one failed.
double seconds_of_launches(int n);

namespace {

constexpr int kTimes = 20000;

double seconds_of_additions(const tf::Tensor& a, const tf::Tensor& b, int n) {
  tf::synchronize();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < n; ++i) a + b;
  tf::synchronize();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void measure(int rounds) {
  const tf::Tensor a = tf::tensor(1.f).to("/gpu:0"), b = tf::tensor(2.f).to("/gpu:0");
  seconds_of_additions(a, b, kTimes), seconds_of_launches(kTimes);
  std::string additions, launches;
  for (int i = 0; i < rounds; ++i) {
    const char* comma = i ? ", " : "";
    additions += comma + std::to_string(1e9 * seconds_of_additions(a, b, kTimes) / kTimes);
    const double launched = seconds_of_launches(kTimes);
    if (launched < 0) throw std::runtime_error("a bare launch has failed");
    launches += comma + std::to_string(1e9 * launched / kTimes);
  }
  std::cout << R"({"add_ns": [)" << additions << R"(], "launch_ns": [)" << launches << "]}\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (tf::list_devices().size() == 1) {
    std::cout << "null\n";
    return 0;
  }
  try {
    measure(argc > 1 ? std::atoi(argv[1]) : 7);
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
