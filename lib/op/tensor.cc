#include <twofold/lib/op/tensor.h>

#include <fmt/format.h>

#include <twofold/lib/core/error.h>
#include <twofold/lib/core/lossless.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

Tensor internal::TensorParts::adopt(Value* v) noexcept {
  Tensor t;
  t.object_ = v;
  t.kind_ = Tensor::Kind::value;
  return t;
}

namespace {

// Where an op is under way it is its line that counts, not that of the library's code.
[[noreturn]] void throw_none(const char* what, std::source_location where) {
  const auto& op = t_state.current;
  fail_at(op.line() ? op : where, t_state.current_op, Code::InvalidArgument,
          fmt::format("An undefined Tensor (None) has no {}", what), "if (t.defined()) ...");
}

// A symbol was taken for a value. Where the line that did so is not known, the error has the one that made the symbol.
[[noreturn]] void fail_about(const Tensor& symbol, std::source_location where, std::string message, std::string hint) {
  const std::string name = symbol.name();
  throw Error(Code::FailedPrecondition, {.message = std::move(message),
                                         .node = name.substr(0, name.find(':')),
                                         .where = where.line() ? where : symbol.owner()->symbol_where(symbol.node()),
                                         .hint = std::move(hint)});
}

// What a trace under way knows of a symbol; undefined: nothing.
Tensor traced_value(const Tensor& symbol, HostRead::Kind kind, std::source_location where, int64_t axis = 0) {
  return symbol.owner()->symbol_read(symbol.node(), symbol.output(), {kind, axis, where});
}

const Value& value_of(const Tensor& t, const char* what, std::source_location where = {},
                      HostRead::Kind kind = HostRead::Kind::elements) {
  if (!t.defined()) throw_none(what, where);
  if (t.is_symbolic()) {
    if (const Tensor traced = traced_value(t, kind, where); traced.defined()) return *traced.value();
    fail_about(t, where, fmt::format("{} is a symbol: it has no {} until a Session has run it", to_string(t), what),
               "session.run(t), or compute in tf::EagerMode");
  }
  const Value& v = *t.value();
  if (v.is_shell())
    fail(Code::Internal, fmt::format("the {} of a tensor was asked for that a tape was told nobody reads", what));
  return v;
}

}  // namespace

DType Tensor::dtype(Where where) const {
  if (!defined()) throw_none("dtype", where);
  return is_concrete() ? value()->dtype() : owner()->symbol_spec(node_, output_).dtype;
}

const Shape& Tensor::shape(Where where) const {
  if (!defined()) throw_none("shape", where);
  return is_concrete() ? value()->shape() : owner()->symbol_spec(node_, output_).shape;
}

int64_t Tensor::dim(int64_t i, Where where) const {
  const Shape& s = shape(where);
  if (s.has_rank() && (i < -s.rank() || i >= s.rank()))
    fail_at(where, "", Code::OutOfRange, fmt::format("dim({}) of a tensor of shape {}", i, s.str()));
  const int64_t axis = i < 0 ? i + s.rank() : i;
  if (s.has_rank() && s.knows(static_cast<int>(axis))) return s[axis];
  if (s.has_rank()) {
    if (const Tensor traced = traced_value(*this, HostRead::Kind::extent, where, axis); traced.defined())
      return traced.item<int64_t>();
  }
  fail_about(*this, t_state.source_scopes ? t_state.source : where,
             fmt::format("{} has no extent {} that is known until a Session runs it", to_string(*this), i),
             fmt::format("tf::shape(x)[{}]", i));
}

std::string Tensor::name() const { return is_symbolic() ? owner()->symbol_name(node_, output_) : ""; }

uint64_t Tensor::id(Where where) const {
  if (!defined()) throw_none("id", where);
  return is_concrete() ? value()->id() : owner()->symbol_id(node_, output_);
}

std::string Tensor::device(Where where) const {
  if (!defined()) throw_none("device", where);
  return is_concrete() ? value()->device().name() : owner()->symbol_device(node_);
}

template <class T>
T Tensor::element(Where where) const {
  const Value& v = value_of(*this, "value", where);
  if (v.num_elements() != 1)
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("item() needs exactly one element; the shape is {}", v.shape().str()),
            "t.data<T>() for all of them");
  return dispatch(v.dtype(), [&](auto zero) -> T {
    const auto element = *static_cast<const decltype(zero)*>(v.on_host().data());
    if (!internal::lossless<T>(element)) {
      fail_at(where, "", Code::InvalidArgument,
              fmt::format("item<{}>() would lose: the value is {} of dtype {}", name_of(dtype_of<T>), element,
                          name_of(v.dtype())),
              fmt::format("tf::cast(t, {})", spelling_of(dtype_of<T>)));
    }
    return static_cast<T>(element);
  });
}

template <class T>
std::span<const T> Tensor::elements(Where where) const {
  const Value& v = value_of(*this, "data", where);
  if (v.dtype() != dtype_of<T>)
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("data<{}>() of a tensor of dtype {}", name_of(dtype_of<T>), name_of(v.dtype())),
            fmt::format("tf::cast(t, {})", spelling_of(dtype_of<T>)));
  const SourceScope source_scope(where);  // for what fails while the GPU is waited for
  return {static_cast<const T*>(v.on_host().data()), static_cast<size_t>(v.num_elements())};
}

#define TWOFOLD_ITEM(T)                       \
  template T Tensor::element<T>(Where) const; \
  template std::span<const T> Tensor::elements<T>(Where) const;
TWOFOLD_ITEM(float)
TWOFOLD_ITEM(double)
TWOFOLD_ITEM(int32_t)
TWOFOLD_ITEM(int64_t)
TWOFOLD_ITEM(uint8_t)
TWOFOLD_ITEM(bool)
#undef TWOFOLD_ITEM

int64_t Tensor::num_elements(Where where) const {
  if (is_symbolic()) {
    if (const Tensor traced = traced_value(*this, HostRead::Kind::count, where); traced.defined())
      return traced.item<int64_t>();
  }
  return value_of(*this, "elements", where).num_elements();
}

Tensor::operator bool() const {
  const Tensor traced = is_symbolic() ? traced_value(*this, HostRead::Kind::truth, {}) : Tensor();
  if (is_symbolic() && !traced.defined()) {
    fail_about(*this, {},
               "Using a symbolic `tf::Tensor` as a `bool` is not allowed: it has no value before a session runs. Use "
               "`if (t.defined())` to test if a tensor is defined, and ops such as tf::cond to execute subgraphs "
               "conditioned on the value of a tensor. (" +
                   to_string(*this) + ")",
               "tf::cond(t, [&] { ... }, [&] { ... }), or t.defined()");
  }
  const Value& v = traced.defined() ? *traced.value() : value_of(*this, "truth");
  if (v.num_elements() != 1)
    fail(Code::InvalidArgument,
         fmt::format("The truth of a tensor of shape {} is ambiguous: it must have one element", v.shape().str()),
         "reduce it first");
  return dispatch(v.dtype(),
                  [&](auto zero) { return *static_cast<const decltype(zero)*>(v.on_host().data()) != zero; });
}

Tensor::Iterator Tensor::end(Where where) const {
  const bool is_traced = is_symbolic() && rank() > 0 && traced_value(*this, HostRead::Kind::extent, where).defined();
  if (!is_traced) value_of(*this, "slices", where);
  if (rank() == 0) fail_at(where, "", Code::InvalidArgument, "A scalar has no axis to iterate over", "t.item<T>()");
  return {this, dim(0)};
}

}  // namespace twofold
