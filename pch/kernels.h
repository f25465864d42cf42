// Precompiled for each CPU plugin (see library.h): Eigen's Core and the standard library's parts that kernels use. What the
// kernels set before they include Eigen is set here too.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <Eigen/Core>
