// Operators of tensors and literals.
#include <cmath>

#include "oracle.h"

using namespace oracle;

ORACLE(operator+, operator-, operator*, operator/, operator<, operator<=, operator>, operator>=, operator%, operator+=,
       operator-=, operator*=, operator/=) {
  for_floating([](auto zero, DType t) {
    const Reals v = extremes<decltype(zero)>();
    const Tensor x = make(t, v);
    const Reals at = values_of(x);
    const auto got = everyway(
        [](const Tensors& in) {
          const Tensor& y = in[0];
          Tensor sum = y, difference = y, product = y, quotient = y;
          sum += 1, difference -= 1, product *= 2, quotient /= 2;
          return Tensors{y + 1, 1 - y,      y * 2,   1 / y,    -y,   y < 0.5, y <= 1, 1 > y,
                         y >= 1, sum, difference, product, quotient, y % 3};
        },
        {x});
    const auto each = [&](auto f) {
      Reals y;
      for (const real e : at) y.push_back(f(e));
      return y;
    };
    CHECK(off_list(got[0], t, each([](real e) { return e + 1; }), {.ulps = 0.5}) == "");
    CHECK(off_list(got[1], t, each([](real e) { return 1 - e; }), {.ulps = 0.5}) == "");
    CHECK(off_list(got[2], t, each([](real e) { return e * 2; })) == "");
    CHECK(off_list(got[3], t, each([](real e) { return 1 / e; }), {.ulps = 0.5}) == "");
    CHECK(off_list(got[4], t, each([](real e) { return -e; })) == "");
    CHECK(off_list(got[5], tf::bool_, each([](real e) { return real(e < 0.5L); })) == "");
    CHECK(off_list(got[6], tf::bool_, each([](real e) { return real(e <= 1); })) == "");
    CHECK(off_list(got[7], tf::bool_, each([](real e) { return real(1 > e); })) == "");
    CHECK(off_list(got[8], tf::bool_, each([](real e) { return real(e >= 1); })) == "");
    CHECK(off_list(got[9], t, each([](real e) { return e + 1; }), {.ulps = 0.5}) == "");
    CHECK(off_list(got[10], t, each([](real e) { return e - 1; }), {.ulps = 0.5}) == "");
    CHECK(off_list(got[11], t, each([](real e) { return e * 2; })) == "");
    CHECK(off_list(got[12], t, each([](real e) { return e / 2; }), {.ulps = 0.5}) == "");
    CHECK(off_list(got[13], t, each([](real e) {
                     const real rest = std::fmod(e, real(3));
                     return rest < 0 ? rest + 3 : rest == 0 ? real(0) : rest;
                   }),
                   {.ulps = 0.5}) == "");
  });
  const Tensor u8 = make(tf::uint8, {1}, {200});
  CHECK(off_list(u8 + 100, tf::uint8, {44}) == "");
  CHECK_ERROR(u8 + 300, InvalidArgument, "300");
  CHECK_ERROR(u8 * -1, InvalidArgument, "-1");
  CHECK_ERROR(u8 + 0.5, InvalidArgument, "cast");
  CHECK_ERROR(tf::tensor({1}) + INT64_MAX, InvalidArgument, "");
  CHECK_ERROR(u8 < 0.5, InvalidArgument, "cast");
  CHECK_ERROR(tf::tensor({1.f, 2.f}) + tf::tensor({1.f, 2.f, 3.f}), InvalidArgument, "Incompatible shapes");
  CHECK_ERROR(make(tf::float32, {0}, {}) + tf::tensor({1.f, 2.f}), InvalidArgument, "Incompatible shapes");
  CHECK(off_list(make(tf::float32, {0}, {}) + tf::tensor({1.f}), tf::float32, {}) == "");
  CHECK(off_list(u8 + tf::tensor({int64_t{INT64_MAX}}), tf::int64, {real(INT64_MIN) + 199}) == "");
}

ORACLE(operator&, operator|, operator^, operator~) {
  const Tensors got = everyway(
      [](const Tensors& in) {
        return Tensors{in[0] & in[1], in[0] | in[1], in[0] ^ in[1], ~in[0], in[0] & true, false | in[1]};
      },
      {make(tf::bool_, {0, 0, 1, 1}), make(tf::bool_, {0, 1, 0, 1})});
  const Reals wanted[] = {{0, 0, 0, 1}, {0, 1, 1, 1}, {0, 1, 1, 0}, {1, 1, 0, 0}, {0, 0, 1, 1}, {0, 1, 0, 1}};
  for (size_t i = 0; i < 6; ++i) CHECK(off_list(got[i], tf::bool_, wanted[i]) == "");
  CHECK_ERROR(tf::tensor({1}) & tf::tensor({1}), InvalidArgument, "bool");
  CHECK_ERROR(~tf::tensor({1.f}), InvalidArgument, "bool");
}
