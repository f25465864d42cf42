#include <twofold/session/convert_feed.h>

#include <fmt/format.h>

#include <type_traits>
#include <utility>

#include <twofold/lib/core/error.h>
#include <twofold/lib/core/lossless.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/op/variable_state.h>

namespace twofold {
namespace {

template <class T>
[[noreturn]] void refuse(DType from, T value, DType dtype, const Fetch& key) {
  fail(Code::InvalidArgument,
       fmt::format("Cannot feed the {} value {} for Tensor '{}', which has dtype {}", name_of(from), value,
                   key_name(key), name_of(dtype)),
       fmt::format("tf::cast(value, {})", spelling_of(dtype)));
}

Tensor converted(const Tensor& t, DType dtype, const Fetch& key) {
  const Value& from = *t.value();
  auto to = Value::make(dtype, from.shape());
  dispatch(from.dtype(), [&](auto source_zero) {
    dispatch(dtype, [&](auto target_zero) {
      using From = decltype(source_zero);
      using To = decltype(target_zero);
      const auto* in = static_cast<const From*>(from.on_host().data());
      auto* out = static_cast<To*>(to->data());
      for (int64_t i = 0; i < from.num_elements(); ++i) {
        // Between floating dtypes it is rounded; a truth is no number.
        constexpr bool kTruth = std::is_same_v<From, bool> || std::is_same_v<To, bool>;
        if constexpr (!(std::is_floating_point_v<From> && std::is_floating_point_v<To>)) {
          if (kTruth || !internal::lossless<To>(in[i])) refuse(from.dtype(), in[i], dtype, key);
        }
        out[i] = static_cast<To>(in[i]);
      }
    });
  });
  return Tensor::adopt(to.detach());
}

}  // namespace

internal::FeedValue internal::FeedValue::owned() const {
  return is_tensor_ || !literal_.viewed() ? *this : FeedValue(literal_.to_tensor(literal_.default_dtype()));
}

std::string key_name(const Fetch& key) {
  switch (key.kind()) {
    case Fetch::Kind::name: return key.name();
    case Fetch::Kind::variable: return key.variable()->name + ":0";
    case Fetch::Kind::operation: return key.operation().defined() ? key.operation().name() : "None";
    case Fetch::Kind::tensor: break;
  }
  return key.tensor().name();
}

Tensor convert_feed(const Feed::Value& value, const TensorSpec& spec, const Fetch& key) {
  Tensor t = value.tensor();
  if (!value.is_tensor()) {
    const Literal& v = value.literal();
    if (const void* memory = v.viewed(); memory && v.default_dtype() == spec.dtype) {
      t = Tensor::adopt(Value::borrow(spec.dtype, v.shape(), const_cast<void*>(memory)).detach());
    } else if (v.fits(spec.dtype)) {
      if (const auto rounded = v.rounded_in(spec.dtype))
        refuse(std::in_range<int32_t>(*rounded) ? int32 : int64, *rounded, spec.dtype, key);
      t = v.to_tensor(spec.dtype);
    } else {
      t = v.to_tensor(v.default_dtype());
    }
  }
  if (!t.shape().compatible_with(spec.shape))
    fail(Code::InvalidArgument, fmt::format("Cannot feed value of shape {} for Tensor '{}', which has shape '{}'",
                                            t.shape().str(), key_name(key), spec.shape.str()));
  return t.dtype() == spec.dtype ? t : converted(t, spec.dtype, key);
}

}  // namespace twofold
