#include <twofold/lib/op/literal.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/field_value.h>
#include <twofold/lib/core/lossless.h>
#include <twofold/lib/op/number.h>
#include <twofold/lib/op/value.h>

namespace twofold {

/// A list's elements: typed ones as they lie in the caller's memory or in `bytes`, others as written.
struct Literal::Array {
  Shape shape;
  const void* view = nullptr;    ///< typed: the caller's memory, or bytes.data()
  std::vector<std::byte> bytes;  ///< typed, gathered from nested lists
  std::vector<Literal> scalars;  ///< as written
};

void Literal::throw_too_large(Where where) {
  fail_at(where, "", Code::InvalidArgument, "An unsigned number beyond int64 has no dtype");
}

Literal::Literal(std::initializer_list<Literal> elements, Where where) {
  assemble(elements.begin(), elements.size(), where);
}

void Literal::view(DType dtype, const void* data, int64_t n) {
  auto array = std::make_shared<Array>();
  array->shape = {n};
  array->view = data;
  kind_ = Kind::typed, dtype_ = dtype;
  array_ = std::move(array);
}

void Literal::assemble(const Literal* elements, size_t n, Where where) {
  auto array = std::make_shared<Array>();
  array->shape = {n};
  kind_ = n ? Kind::boolean : Kind::floating;  // an empty list is float32, as in NumPy a floating array
  bool typed = false, mixed = false;
  for (size_t i = 0; i < n; ++i) {
    const Literal& e = elements[i];
    if (e.shape() != elements[0].shape())
      fail_at(where, "", Code::InvalidArgument,
              fmt::format("A nested list must be rectangular: element 0 has shape {}, element {} has {}",
                          elements[0].shape().str(), i, e.shape().str()));
    if (e.kind_ == Kind::typed) {
      dtype_ = typed ? promote(dtype_, e.dtype_) : e.dtype_;
      typed = true;
    } else {
      mixed = true;
      kind_ = std::max(kind_, e.kind_);
    }
  }
  if (n)
    for (int64_t d : elements[0].shape()) array->shape.push_back(d, where);
  if (typed) {
    // Numbers as written beside typed ones take the typed ones' dtype.
    const DType dtype = mixed && kind_ == Kind::floating && !is_floating(dtype_) ? float32 : dtype_;
    dtype_ = dtype;
    for (size_t i = 0; i < n; ++i) {
      const Literal& e = elements[i];
      const Tensor t = e.kind_ == Kind::typed && e.dtype_ != dtype ? Tensor() : e.to_tensor(dtype);
      if (!t.defined())
        fail_at(where, "", Code::InvalidArgument,
                fmt::format("A list mixes elements of dtype {} and {}", name_of(e.dtype_), name_of(dtype)));
      const auto* p = static_cast<const std::byte*>(t.value()->data());
      array->bytes.insert(array->bytes.end(), p, p + t.value()->bytes());
    }
    kind_ = Kind::typed;
    array->view = array->bytes.data();
  } else {
    for (size_t i = 0; i < n; ++i) {
      if (elements[i].array_) {
        const auto& inner = elements[i].array_->scalars;
        array->scalars.insert(array->scalars.end(), inner.begin(), inner.end());
      } else {
        array->scalars.push_back(elements[i]);
      }
    }
  }
  array_ = std::move(array);
}

Shape Literal::shape() const { return array_ ? array_->shape : Shape{}; }

const void* Literal::viewed() const { return kind_ == Kind::typed && array_ ? array_->view : nullptr; }

DType Literal::default_dtype() const {
  switch (kind_) {
    case Kind::typed: return dtype_;
    case Kind::boolean: return bool_;
    case Kind::floating: return float32;
    case Kind::integer: break;
  }
  const auto wide = [](const Literal& e) { return !std::in_range<int32_t>(e.integer_); };
  if (!array_) return wide(*this) ? int64 : int32;
  for (const Literal& e : array_->scalars)
    if (wide(e)) return int64;
  return int32;
}

bool Literal::fits(DType t) const {
  switch (kind_) {
    case Kind::typed: return t == dtype_;
    case Kind::boolean: return t == bool_;
    case Kind::integer: return t != bool_;
    case Kind::floating: break;
  }
  return is_floating(t);
}

std::optional<int64_t> Literal::rounded_in(DType t) const {
  if (!is_floating(t) || kind_ == Kind::typed) return {};
  const auto rounded = [t](const Literal& e) {
    return e.kind_ == Kind::integer &&
           !(t == float32 ? internal::lossless<float>(e.integer_) : internal::lossless<double>(e.integer_));
  };
  if (!array_) return rounded(*this) ? std::optional(integer_) : std::nullopt;
  for (const Literal& e : array_->scalars)
    if (rounded(e)) return e.integer_;
  return {};
}

namespace {
template <class T>
T converted(const Literal& e, DType dtype) {
  const auto refuse = [&](const std::string& value) {
    fail(Code::InvalidArgument, fmt::format("The literal {} does not fit dtype {}", value, name_of(dtype)),
         fmt::format("tf::cast(..., {})", spelling_of(dtype)));
  };
  if (e.holds_floating()) {
    if constexpr (!std::is_floating_point_v<T>) refuse(fmt::format("{}", e.floating()));
    return static_cast<T>(e.floating());
  }
  if constexpr (std::is_floating_point_v<T>) return static_cast<T>(e.integer());
  if constexpr (std::is_same_v<T, bool>) {
    if (e.integer() != 0 && e.integer() != 1) refuse(fmt::format("{}", e.integer()));
    return e.integer() != 0;
  } else if constexpr (std::is_integral_v<T>) {
    if (!internal::lossless<T>(e.integer())) refuse(fmt::format("{}", e.integer()));
    return static_cast<T>(e.integer());
  }
}
Tensor scalar(const Literal& e, DType dtype) {
  auto v = Value::make(dtype, Shape{});
  dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    *static_cast<T*>(v->data()) = converted<T>(e, dtype);
  });
  return Tensor::adopt(v.detach());
}
}  // namespace

Tensor Literal::to_tensor(DType dtype) const {
  return is_scalar() && kind_ != Kind::typed ? scalar(*this, dtype) : to_tensor(dtype, shape());
}

Tensor Literal::to_tensor(DType dtype, const Shape& asked) const {
  const int64_t given = shape().num_elements();
  Shape full = asked;
  const auto refuse = [&] {
    fail(Code::InvalidArgument, fmt::format("{} elements cannot take the shape {}", given, asked.str()));
  };
  for (int i = 0; i < full.rank(); ++i) {
    if (full.knows(i)) continue;
    Shape rest = full;
    rest.set(i, 1);
    if (!rest.is_known() || rest.saturated_elements() == 0 || given % rest.saturated_elements()) refuse();
    full.set(i, given / rest.saturated_elements());
  }
  if (!full.is_known() || (full.saturated_elements() != given && given != 1)) refuse();
  const int64_t n = full.num_elements();
  if (kind_ == Kind::typed && dtype != dtype_)
    fail(Code::InvalidArgument,
         fmt::format("Elements of dtype {} were given where {} is wanted", name_of(dtype_), name_of(dtype)),
         fmt::format("tf::cast(..., {})", spelling_of(dtype)));
  auto v = Value::make(dtype, full);
  dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    auto* to = static_cast<T*>(v->data());
    if (!array_) {
      std::fill_n(to, n, converted<T>(*this, dtype));
    } else if (array_->view || given == 0) {
      const auto* from = static_cast<const T*>(array_->view);
      if (n != given) {
        std::fill_n(to, n, *from);
      } else if (n) {
        std::memcpy(to, from, v->bytes());
      }
    } else if (n != given) {
      std::fill_n(to, n, converted<T>(array_->scalars[0], dtype));
    } else {
      for (int64_t i = 0; i < n; ++i) to[i] = converted<T>(array_->scalars[static_cast<size_t>(i)], dtype);
    }
  });
  return Tensor::adopt(v.detach());
}

Literal Number::literal(DType dtype) const {
  if (dtype == bool_) return as<bool>();
  return is_integer(dtype) || !is_floating_ ? Literal(as<int64_t>()) : Literal(floating_);
}

FieldValue to_field(const Number& n) { return n.is_floating_ ? FieldValue{n.floating_} : FieldValue{n.integer_}; }
void from_field(const FieldValue& f, Number& n) {
  n = std::holds_alternative<double>(f.value) ? Number(f.as<double>()) : Number(f.integer());
}
std::string print_field(const Number& n) {
  return n.is_floating_ ? fmt::format("{}", n.floating_) : fmt::format("{}", n.integer_);
}

}  // namespace twofold
