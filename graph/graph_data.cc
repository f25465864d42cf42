#include <twofold/graph/graph_data.h>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <tuple>
#include <utility>

#include <twofold/graph/body_symbols.h>
#include <twofold/graph/control.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

namespace {
std::atomic<uint64_t> g_next_graph_id{1};
bool ends_in_number(std::string_view name) {
  const auto underscore = name.rfind('_');
  return underscore != name.npos && underscore + 1 < name.size() && underscore > 0 &&
         name.find_first_not_of("0123456789", underscore + 1) == name.npos;
}
constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-/\\>";
constexpr std::string_view kNotFirst = "/_-";

void check_letters(std::string_view name, const char* what) {
  if (!name.empty() && name.find_first_not_of(kLetters) == name.npos && kNotFirst.find(name[0]) == kNotFirst.npos)
    return;
  std::string like(name);
  for (char& c : like)
    if (kLetters.find(c) == kLetters.npos) c = '_';
  while (!like.empty() && kNotFirst.find(like[0]) != kNotFirst.npos) like.erase(0, 1);
  fail(Code::InvalidArgument, fmt::format("'{}' is not a valid {} name", name, what),
       fmt::format("\"{}\"", like.empty() ? what : like));
}
}  // namespace

GraphData::GraphData(GraphData* outer, std::string label)
    : GraphSymbols(this), outer_(outer), label_(std::move(label)), id_(g_next_graph_id++) {
  scope_of(0, "");
  if (outer) random.seed = outer->random.seed, random.generation = outer->random.generation;
}

GraphData::~GraphData() {
  for (uint32_t i = 0; i < size(); ++i) const_cast<Node&>(node(i)).attrs = {};
  for (auto& chunk : chunks_) ::operator delete(chunk.load());
}

template <class T>
std::span<const T> GraphData::keep(std::span<const T> items) {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= 8);
  if (items.empty()) return {};
  const size_t bytes = (items.size_bytes() + 7) / 8 * 8;
  if (bytes > arena_left_) {
    arena_left_ = std::max<size_t>(bytes, arena_.empty() ? 4096 : size_t{1} << 18);
    arena_next_ = arena_.emplace_back(new std::byte[arena_left_]).get();
  }
  auto* kept = reinterpret_cast<T*>(arena_next_);
  std::memcpy(static_cast<void*>(kept), items.data(), items.size_bytes());
  arena_next_ += bytes;
  arena_left_ -= bytes;
  return {kept, items.size()};
}

uint32_t GraphData::intern(std::string_view name) {
  if (const auto it = base_ids_.find(name); it != base_ids_.end()) return it->second;
  const auto id = static_cast<uint32_t>(bases_.size());
  any_suffixed_ |= ends_in_number(name);
  base_ids_.emplace(bases_.emplace_back(name), id);
  return id;
}

uint32_t GraphData::unique(uint32_t scope, uint32_t base) {
  const uint64_t key = uint64_t{scope} << 32 | base;
  uint32_t next = 0;
  if (const auto made = ordinals_.find(key); made != ordinals_.end()) next = made->second;
  while (any_suffixed_ && is_taken(scope, base, next)) ++next;
  ordinals_[key] = next + 1;
  return next;
}

// Somebody may have called a node "add_1" outright, before or after the second "add".
bool GraphData::is_taken(uint32_t scope, uint32_t base, uint32_t ordinal) const {
  const auto made = [&](std::string_view name) {
    const auto id = base_ids_.find(name);
    const auto known = id == base_ids_.end() ? ordinals_.end() : ordinals_.find(uint64_t{scope} << 32 | id->second);
    return known == ordinals_.end() ? 0 : known->second;
  };
  const std::string_view name = bases_[base];
  if (ordinal > 0) return made(fmt::format("{}_{}", name, ordinal)) > 0;
  if (!ends_in_number(name)) return false;
  const auto underscore = name.rfind('_');
  const std::string_view digits = name.substr(underscore + 1);
  uint32_t number = 0;
  const auto parsed = std::from_chars(digits.begin(), digits.end(), number);
  return parsed.ec == std::errc() && digits[0] != '0' && made(name.substr(0, underscore)) > number;
}

std::pair<uint32_t, uint32_t> GraphData::scope_and_base(std::string_view name) {
  const uint32_t scope = t_state.scope;
  if (name.find('/') == name.npos) return {scope, intern(name)};
  // A scope given with the name, as variables give theirs to what belongs to them; absolute if it ends in '/'.
  const bool absolute = name.back() == '/';
  if (absolute) name.remove_suffix(1);
  const auto cut = name.rfind('/');
  const std::string prefix =
      (absolute ? "" : scopes_[scope].prefix) + std::string(cut == name.npos ? "" : name.substr(0, cut + 1));
  return {scope_of(0, prefix), intern(cut == name.npos ? name : name.substr(cut + 1))};
}

void GraphData::check_name(std::string_view name) { check_letters(name, "node"); }

void GraphData::check_scope_name(std::string_view name) {
  if (name.empty()) return;
  if (name.back() == '/') name.remove_suffix(1);
  check_letters(name, "scope");
}

void GraphData::rename(uint32_t id, std::string_view name, bool only_names) {
  check_name(name);
  std::lock_guard lock(mutex_);
  const Place place = chunk_of(id);
  Node& node = chunks_[place.index].load(std::memory_order_relaxed)[place.offset];
  if (id < indexed_) index_.erase(name_locked(id));
  // Its number is the next one's, if none has come since: what goes by its op's name is counted as if it had not been.
  const auto made = ordinals_.find(uint64_t{node.scope} << 32 | node.base);
  if (made->second == node.ordinal + 1 && made->second-- == 1) ordinals_.erase(made);
  std::tie(node.scope, node.base) = scope_and_base(name);
  node.ordinal = unique(node.scope, node.base);
  node.only_names = only_names;
  if (id < indexed_) index_.emplace(name_locked(id), id);
}

// Memory for a node that is about to be added. Precondition: mutex_ is held.
Node* GraphData::place_for(uint32_t id) {
  const Place place = chunk_of(id);
  Node* chunk = chunks_[place.index].load(std::memory_order_relaxed);
  if (!chunk) {
    chunk = static_cast<Node*>(::operator new(sizeof(Node) * (size_t{kFirst} << place.index)));
    chunks_[place.index].store(chunk, std::memory_order_release);
  }
  return chunk + place.offset;
}

uint32_t GraphData::append(const NodeRecord& record) {
  std::lock_guard lock(mutex_);
  const uint32_t id = size();
  if (made_in_.empty()) made_in_.push_back({});
  Node* node = std::construct_at(place_for(id));
  node->op = record.op;
  node->attrs = record.attrs;
  node->inputs = keep(record.inputs);
  node->outputs = keep(record.outputs);
  node->controls = keep(record.controls);
  node->scope = record.scope;
  node->base = record.base;
  node->ordinal = record.ordinal;
  uint32_t& next = ordinals_[uint64_t{node->scope} << 32 | node->base];
  next = std::max(next, record.ordinal + 1);
  node->device = record.device;
  node->only_names = record.only_names;
  node->generation = record.generation;
  node->where = record.where;
  size_.store(id + 1, std::memory_order_release);
  return id;
}

uint32_t GraphData::scope_id(std::string prefix) {
  std::lock_guard lock(mutex_);
  return scope_of(0, std::move(prefix));
}
uint32_t GraphData::base_id(std::string_view name) {
  std::lock_guard lock(mutex_);
  return intern(name);
}

void GraphData::append_made_in(MadeIn made_in) {
  std::lock_guard lock(mutex_);
  made_in.first = size();
  if (!made_in_.empty() && made_in_.back().first == made_in.first)
    made_in_.back() = made_in;
  else
    made_in_.push_back(made_in);
}

uint32_t GraphData::add(const OpDef& op, std::span<const Edge> inputs, AttrsView attrs,
                        std::span<const TensorSpec> outputs, std::string_view name, std::source_location where) {
  if (!name.empty()) check_name(name);
  const uint32_t generation = op.flags.random ? current_random_generation() : 0;
  std::lock_guard lock(mutex_);
  if (finalized_)
    fail(Code::FailedPrecondition, "Graph is finalized and cannot be modified.", "build everything before finalize()");
  const uint32_t id = size();
  Node* const place = place_for(id);
  uint32_t scope = t_state.scope;
  uint32_t base;
  if (name.empty()) {
    if (static_cast<size_t>(op.id) >= op_bases_.size()) op_bases_.resize(static_cast<size_t>(op.id) + 1);
    uint32_t& known = op_bases_[static_cast<size_t>(op.id)];
    if (!known) known = intern(op.node_name) + 1;
    base = known - 1;
  } else {
    std::tie(scope, base) = scope_and_base(name);
  }
  if (made_in_.empty() || made_in_.back().scope != t_state.scope_path ||
      made_in_.back().execution != current_execution())
    made_in_.push_back({id, t_state.scope_path, current_body(), current_execution(), outermost_execution()});
  Node* node = std::construct_at(place);
  node->op = &op;
  if (attrs) node->attrs = make_ref<AttrsBox>(attrs);
  node->inputs = keep(inputs);
  node->outputs = keep(outputs);
  node->controls = keep(std::span<const uint32_t>(ControlScope::current(*this)));
  node->scope = scope;
  node->base = base;
  node->ordinal = unique(scope, base);
  node->device = t_state.device;
  node->generation = generation;
  node->where = where;
  size_.store(id + 1, std::memory_order_release);
  if (t_state.symbols) t_state.symbols->add(*this, id);
  return id;
}

void GraphData::begin_as(const GraphData& other) {
  std::scoped_lock lock(mutex_, other.mutex_);
  scopes_ = other.scopes_;
  scope_ids_ = other.scope_ids_;
  bases_ = other.bases_;
  for (uint32_t i = 0; i < bases_.size(); ++i) base_ids_.emplace(bases_[i], i);
  op_bases_ = other.op_bases_;
  ordinals_ = other.ordinals_;
  any_suffixed_ = other.any_suffixed_;
  made_in_ = other.made_in_;
  for (uint32_t id = 0; id < other.size(); ++id) {
    Node* node = std::construct_at(place_for(id), other.node(id));
    node->inputs = keep(node->inputs);
    node->outputs = keep(node->outputs);
    node->controls = keep(node->controls);
    size_.store(id + 1, std::memory_order_release);
  }
}

uint32_t GraphData::scope_of(uint32_t parent, std::string prefix) {
  const auto [it, made] = scope_ids_.emplace(prefix, static_cast<uint32_t>(scopes_.size()));
  if (made) scopes_.push_back({parent, std::move(prefix)});
  return it->second;
}

std::string_view GraphData::scope_name(const Node& n) const {
  std::lock_guard lock(mutex_);
  return scopes_[n.scope].prefix;
}
std::string_view GraphData::base_name(const Node& n) const {
  std::lock_guard lock(mutex_);
  return bases_[n.base];
}

std::string GraphData::node_name(uint32_t id) const {
  std::lock_guard lock(mutex_);
  return name_locked(id);
}

std::string GraphData::name_locked(uint32_t id) const {
  const Node& n = node(id);
  std::string name = scopes_[n.scope].prefix + bases_[n.base];
  if (n.ordinal) name += fmt::format("_{}", n.ordinal);
  return name;
}

int64_t GraphData::find(std::string_view name) const {
  std::lock_guard lock(mutex_);
  for (const uint32_t n = size(); indexed_ < n; ++indexed_) index_.emplace(name_locked(indexed_), indexed_);
  const auto it = index_.find(std::string(name));
  return it == index_.end() ? -1 : int64_t{it->second};
}

uint32_t GraphData::open_scope(uint32_t parent, std::string_view name) {
  check_scope_name(name);
  if (name.empty()) return 0;
  const bool again = name.back() == '/';
  if (again) name.remove_suffix(1);
  std::lock_guard lock(mutex_);
  std::string prefix;
  if (again) {
    prefix = std::string(name) + "/";  // absolute, as TensorFlow's
  } else {
    const uint32_t base = intern(name);
    const uint32_t ordinal = unique(parent, base);
    prefix = scopes_[parent].prefix + std::string(name) + (ordinal ? fmt::format("_{}", ordinal) : "") + "/";
  }
  return scope_of(parent, std::move(prefix));
}

void GraphData::add_variable(GraphVariable v) {
  std::lock_guard lock(mutex_);
  variable_index_.emplace(v.state->id, variables_.size());
  variables_.push_back(std::move(v));
}

std::vector<GraphVariable> GraphData::variables() const {
  std::lock_guard lock(mutex_);
  return variables_;
}

GraphVariable GraphData::variable(const VariableState& v) const {
  {
    std::lock_guard lock(mutex_);
    if (const auto it = variable_index_.find(v.id); it != variable_index_.end()) return variables_[it->second];
  }
  if (outer_) return outer_->variable(v);
  if (takes_eager_variables_ && v.is_eager()) return {Ref<VariableState>(const_cast<VariableState*>(&v)), {}, 0};
  v.check_made(t_state.source_scopes ? t_state.source : t_state.current);
  fail(Code::InvalidArgument,
       fmt::format("Variable '{}:0', made at {}, is not an element of this graph", v.name, line_of(v.where)));
}

Edge GraphData::read(const Ref<VariableState>& v, std::source_location where) {
  variable(*v);  // throws if it is foreign
  const TensorSpec spec{v->dtype, v->shape};
  return {add(read_variable_op, {}, VariableAttrs{v}, {&spec, 1}, v->name + "/read/", where), 0};
}

bool GraphData::takes_eager_variables() const {
  for (const GraphData* each = this; each; each = each->outer())
    if (each->takes_eager_variables_) return true;
  return false;
}

bool GraphData::within(const GraphData* g) const {
  for (const GraphData* each = this; each; each = each->outer())
    if (each == g) return true;
  return false;
}

Edge GraphData::capture(const Tensor& outer_tensor) {
  // From the graph just around this one; what lies further out is captured there first.
  const Tensor from =
      outer_tensor.graph() == outer() ? outer_tensor : Tensor::symbol(outer(), outer()->capture(outer_tensor).node, 0);
  const uint64_t key = Edge{from.node(), from.output()}.key();
  if (const auto it = capture_index_.find(key); it != capture_index_.end()) return captures_[it->second].inner;
  const TensorSpec spec{from.dtype(), from.shape()};
  const Edge inner{add(capture_op, {}, CaptureAttrs{static_cast<int64_t>(captures_.size())}, {&spec, 1}, "capture",
                       outer()->node(from.node()).where),
                   0};
  capture_index_.emplace(key, captures_.size());
  captures_.push_back({from, inner});
  return inner;
}

void GraphData::close() {
  body_closed_ = true;
  captures_.clear();
  outer_ = {};
}

}  // namespace twofold
