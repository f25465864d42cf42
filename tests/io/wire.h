// Protobuf messages as they lie in bytes, to damage them one field at a time.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace wire {

/// A protobuf message as its fields. What is a message, text or a column of numbers the bytes do not tell.
struct Field {
  uint64_t tag = 0;     // number << 3 | type
  uint64_t number = 0;  // types 0, 1, 5
  std::string bytes;    // type 2
};

inline bool read_varint(std::string_view& from, uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64 && !from.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(from[0]);
    from.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}
inline void append_varint(std::string& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to += static_cast<char>(value | 0x80);
  to += static_cast<char>(value);
}

inline bool read_fields(std::string_view from, std::vector<Field>& fields) {
  while (!from.empty()) {
    Field& f = fields.emplace_back();
    if (!read_varint(from, f.tag) || f.tag >> 3 == 0 || f.tag >> 3 > 64) return false;
    uint64_t length = 0;
    switch (f.tag & 7) {
      case 0:
        if (!read_varint(from, f.number)) return false;
        break;
      case 1:
      case 5:
        length = f.tag & 4 ? 4 : 8;
        if (from.size() < length) return false;
        std::memcpy(&f.number, from.data(), length);
        from.remove_prefix(length);
        break;
      case 2:
        if (!read_varint(from, length) || from.size() < length) return false;
        f.bytes = from.substr(0, length);
        from.remove_prefix(length);
        break;
      default: return false;
    }
  }
  return true;
}
inline std::string write_fields(const std::vector<Field>& fields) {
  std::string to;
  for (const Field& f : fields) {
    append_varint(to, f.tag);
    if ((f.tag & 7) == 0) append_varint(to, f.number);
    if ((f.tag & 7) == 1) to.append(reinterpret_cast<const char*>(&f.number), 8);
    if ((f.tag & 7) == 5) to.append(reinterpret_cast<const char*>(&f.number), 4);
    if ((f.tag & 7) == 2) append_varint(to, f.bytes.size()), to += f.bytes;
  }
  return to;
}

/// A column of numbers: what a packed field of them holds.
inline std::vector<uint64_t> read_column(std::string_view from) {
  std::vector<uint64_t> column;
  uint64_t value = 0;
  while (!from.empty() && read_varint(from, value)) column.push_back(value);
  return column;
}
inline std::string write_column(const std::vector<uint64_t>& column) {
  std::string to;
  for (uint64_t v : column) append_varint(to, v);
  return to;
}

}  // namespace wire
