#include <twofold/session/session.h>

#include <twofold/lib/op/apply.h>
#include <twofold/session/program/passes.h>
#include <twofold/session/session_data.h>

namespace twofold {

Session::Session(SessionOptions options, Where where) : Session(get_default_graph(), std::move(options), where) {}
Session::Session(const Graph& graph, SessionOptions options, Where where) {
  const SourceScope source_scope(where);
  check_options(options);
  data_ = std::make_shared<SessionData>(Ref<GraphData>(graph.data()), std::move(options));
}
Session::~Session() = default;

void Session::close(Where where) {
  const SourceScope source_scope(where);
  data_->close();
}
Graph Session::graph() const { return Graph::of(data_->graph()); }
int64_t Session::num_plans() const { return data_->num_plans(); }

void Session::run_flat(std::span<const Fetch> fetches, const internal::FeedList& feeds, std::span<Tensor> results,
                       Where where) const {
  called_at(where, *data_, [&] { data_->run(fetches, feeds, results); });
}

void Session::set(const std::vector<std::pair<Variable, Tensor>>& values, Where where) const {
  called_at(where, *data_, [&] { data_->set(values); });
}

}  // namespace twofold
