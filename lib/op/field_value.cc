#include <twofold/lib/op/field_value.h>

#include <fmt/format.h>

#include <twofold/lib/core/error.h>

namespace twofold {

void FieldValue::fail_kind() {
  throw Error(Code::DataLoss, {.message = "an attribute is of another kind than its op's"});
}

void fail_saving() {
  throw Error(Code::Internal, {.message = "an attribute of what has been done in this process cannot be saved"});
}

int64_t FieldValue::integer(int64_t least, int64_t most) const {
  const int64_t v = as<int64_t>();
  if (v < least || v > most)
    throw Error(Code::DataLoss,
                {.message = fmt::format("an attribute is {}, which is not from {} to {}", v, least, most)});
  return v;
}

// A shape of unknown rank is an empty text, for a list of no extents is a scalar's.
FieldValue to_field(const Shape& v) {
  if (!v.has_rank()) return {std::string()};
  FieldValue::List list;
  for (int64_t d : v.raw()) list.push_back({d});
  return {std::move(list)};
}
FieldValue to_field(const Axes& v) {
  FieldValue::List list;
  for (int64_t a : v) list.push_back({a});
  return {std::move(list)};
}

static const FieldValue::List& numbers_of(const FieldValue& f) {
  const auto& list = f.as<FieldValue::List>();
  if (list.size() > size_t{kMaxRank}) FieldValue::fail_kind();
  return list;
}

void from_field(const FieldValue& f, Shape& v) {
  if (std::holds_alternative<std::string>(f.value)) {
    v = Shape::unknown();
    return;
  }
  v = Shape();
  for (const FieldValue& d : numbers_of(f)) v.push_back(d.integer(-1));
}
void from_field(const FieldValue& f, Axes& v) {
  v = Axes();
  for (const FieldValue& a : numbers_of(f)) v.push_back(a.integer());
}

}  // namespace twofold
