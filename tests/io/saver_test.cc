// Checkpoints that a Saver takes: what they hold, which are kept, and what restoring does, in every mode.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <twofold/twofold.h>

#include "../catch.h"
#include "../errors.h"
#include "../fresh_graph.h"
#include "../training.h"
#include "../warnings.h"
#include "scratch.h"

namespace tf = twofold;
namespace nn = twofold::nn;
namespace train = twofold::train;
using namespace training;
using train::Saver;
using train::SaverOptions;

namespace {

/// The steps of the files, in their numbers' order.
std::set<int64_t> steps_in(const std::filesystem::path& folder) {
  std::set<int64_t> steps;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    const std::string name = file.path().filename();
    if (name.ends_with(".safetensors")) steps.insert(std::stoll(name.substr(name.rfind('-') + 1)));
  }
  return steps;
}
using Steps = std::set<int64_t>;

std::vector<int64_t> steps_of(const Saver& saver) {
  std::vector<int64_t> steps;
  for (const train::Checkpoint& c : saver.checkpoints()) steps.push_back(c.step);
  return steps;
}

/// Dropout, Adam with a schedule and data in an order of their own.
struct Program {
  explicit Program(tf::Session& s, const std::string& directory)
      : session(s), loader({inputs(), tf::sin(inputs())}, {.batch_size = 2, .shuffle = true}) {
    opt.set_schedule(train::exponential_decay(0.9));
    session.run(tf::global_variables_initializer());
    saver.emplace(
        session, train::SaverState{{"net", net}, {"optimiser", opt}},
        SaverOptions{.directory = directory, .notes = [this] {
                       const auto [epoch, batch] = loader.position();
                       return tf::io::Metadata{{"epoch", std::to_string(epoch)}, {"batch", std::to_string(batch)}};
                     }});
  }
  static Tensor inputs() { return tf::tensor(std::vector{-1.f, -0.5f, 0.f, 0.5f, 1.f, 1.5f}, {6, 1}); }

  /// The losses of so many steps.
  std::vector<Tensor> fit(int steps) {
    std::vector<Tensor> losses;
    for (int i = 0; i < steps; ++i) {
      const auto [x, y] = loader.next();
      losses.push_back(step(x, y));
    }
    return losses;
  }
  /// All that the program has come to.
  std::vector<Tensor> all() const {
    std::vector<Tensor> values;
    for (const auto& part : {net.state(), opt.state()})
      for (const auto& [name, value] : tf::read_state(session, part)) values.push_back(tf::cast(value, tf::float32));
    return values;
  }

  tf::Session& session;
  tf::io::DataLoader<2> loader;
  nn::Sequential net{nn::Linear(1, 16), nn::Tanh(), nn::Dropout(0.25), nn::Linear(16, 1)};
  train::Adam opt{net.parameters(), {.lr = 0.01}};
  tf::Step<std::function<Tensor(Tensor, Tensor)>> step =
      tf::step(session, std::function<Tensor(Tensor, Tensor)>([this](const Tensor& x, const Tensor& y) {
                 auto loss = nn::mse_loss(net(x), y);
                 opt.minimize(loss);
                 return loss;
               }));
  std::optional<Saver> saver;
};

/// A variable, and what counts it up.
struct Counter {
  explicit Counter(tf::Session& s, int64_t size = 1)
      : session(s),
        v(tf::zeros({size}), {.name = "v"}),
        step(tf::step(session, std::function<Tensor()>([this] { return v.assign_add(1.f); }))) {
    session.run(tf::global_variables_initializer());
  }
  std::vector<float> value() const { return floats(tf::read_state(session, {{"v", v}}).at("v")); }

  tf::Session& session;
  tf::Variable v;
  tf::Step<std::function<Tensor()>> step;
};

}  // namespace

TEST_CASE("A program goes on from a checkpoint to the bit, whatever the modes", "[saver]") {
  for (const How before : kWays) {
    const Scratch scratch;
    std::vector<Tensor> losses, all;
    in_mode(before, [&](tf::Session& session) {
      Program program(session, scratch.folder());
      program.fit(5);
      program.saver->save(5, 0.25);
      losses = program.fit(6);  // while it is written
      all = program.all();
      return 0;
    });
    for (const How after : kWays) {
      INFO("modes " << static_cast<int>(before) << " " << static_cast<int>(after));
      in_mode(after, [&](tf::Session& session) {
        Program program(session, scratch.folder());
        program.fit(3);  // is undone
        const auto last = program.saver->restore_latest();
        REQUIRE(last);
        CHECK(last->step == 5);
        CHECK(last->metric == 0.25);
        CHECK(last->path == scratch / "checkpoint-5.safetensors");
        CHECK((last->time.size() == 20 && last->time.starts_with("20") && last->time.ends_with("Z")));
        program.loader.seek({std::stoll(last->notes.at("epoch")), std::stoll(last->notes.at("batch"))});
        CHECK(last->notes.size() == 2);
        CHECK(same_bits(program.fit(6), losses));
        CHECK(same_bits(program.all(), all));
        return 0;
      });
    }
  }
}

TEST_CASE("A checkpoint is a safetensors file with the values between two steps", "[saver]") {
  const Scratch scratch;
  in_each_mode([&](tf::Session& session) {
    Counter counter(session, 1 << 20);
    const tf::Variable other(5, {.name = "other"});
    session.run(tf::variables_initializer({other}));
    Saver saver(session, {{"counted", counter.v}, {"part", std::map<std::string, tf::Variable>{{"other", other}}}},
                {.directory = scratch.folder(), .prefix = "some", .keep_last = 0});
    for (int n = 1; n <= 8; ++n) {
      counter.step();
      const std::string path = saver.save(n, n * 0.5f);
      CHECK(path == scratch / ("some-" + std::to_string(n) + ".safetensors"));
    }
    for (int i = 0; i < 4; ++i) counter.step();
    saver.wait();
    for (int n = 1; n <= 8; ++n) {
      const auto file = tf::io::load_safetensors(scratch / ("some-" + std::to_string(n) + ".safetensors"));
      const auto counted = file["counted"].data<float>();
      CHECK(counted.size() == 1 << 20);
      CHECK(std::ranges::count(counted, static_cast<float>(n)) == 1 << 20);
      CHECK(file["part.other"].item<int>() == 5);
      CHECK(file.metadata().at("twofold.step") == std::to_string(n));
      CHECK(std::stod(file.metadata().at("twofold.metric")) == n * 0.5);
      CHECK(file.metadata().at("twofold.serial") == std::to_string(n));
      CHECK(file.contains("twofold.random.seed"));
    }
    for (const auto& file : std::filesystem::directory_iterator(scratch.folder())) std::filesystem::remove(file);
  });
}

TEST_CASE("Deferred, a run on another thread is seen whole or not at all", "[saver]") {
  const Scratch scratch;
  FreshGraph fresh;
  const tf::Variable a(tf::zeros({1000}), {.name = "a"}), b(tf::zeros({1000}), {.name = "b"});
  tf::Session session;
  session.run(tf::global_variables_initializer());
  const auto both = session.make_callable({a.assign_add(1.f), b.assign_add(1.f)}, {});
  Saver saver(session, {{"a", a}, {"b", b}}, {.directory = scratch.folder(), .keep_last = 2});
  std::atomic<bool> stop{false};
  std::jthread trainer([&] {
    while (!stop) both();
  });
  int wrong = 0;
  for (int n = 0; n < 30; ++n) {
    const std::string path = saver.save(n);
    saver.wait();
    const auto file = tf::io::load_safetensors(path);
    wrong += !same_bits({file["a"]}, {file["b"]});
  }
  stop = true;
  CHECK(wrong == 0);
}

TEST_CASE("step saves at multiples of steps, and after a time", "[saver]") {
  in_each_mode([&](tf::Session& session) {
    const Scratch scratch;
    Counter counter(session);
    const train::SaverState state = {{"v", counter.v}};
    {
      Saver saver(session, state, {.directory = scratch.folder(), .keep_last = 0, .every_steps = 10});
      std::vector<int64_t> taken;
      for (const int64_t n : {0, 1, 9, 10, 10, 11, 19, 23, 29, 31, 60, 61, 69, 5, 9, 12}) {
        if (saver.step(n)) taken.push_back(n);
        saver.wait();
      }
      CHECK(taken == std::vector<int64_t>{10, 23, 31, 60, 12});  // it began anew at 5
      CHECK(steps_of(saver) == taken);
      saver.save(17);
      CHECK(!saver.step(17));
      CHECK(!saver.step(18));
      saver.restore(scratch / "checkpoint-31.safetensors");
      CHECK(!saver.step(31));
      CHECK(!saver.step(39));
      CHECK(saver.step(40));
    }
    {
      Saver saver(session, state, {.directory = scratch / "time", .every_minutes = 0.05 / 60});
      CHECK(!saver.step(1));
      std::this_thread::sleep_for(std::chrono::milliseconds(60));
      CHECK(saver.step(2));
      saver.wait();
      CHECK(!saver.step(2));
      std::this_thread::sleep_for(std::chrono::milliseconds(60));
      CHECK(!saver.step(2));  // it is there
      CHECK(saver.step(3));
    }
    CHECK(steps_in(scratch / "time") == Steps{2, 3});
  });
}

TEST_CASE("step does not wait for the checkpoint before, save does", "[saver]") {
  const Scratch scratch;
  tf::EagerMode eager;
  tf::Session session;
  Counter counter(session, 8 << 20);
  Saver saver(session, {{"v", counter.v}}, {.directory = scratch.folder(), .every_steps = 1});
  CHECK(saver.step(1));
  CHECK(!saver.step(2));  // 32 MiB are not on the disk within microseconds
  saver.wait();
  CHECK(saver.step(3));
  saver.save(4);
  saver.wait();
  CHECK(steps_of(saver) == std::vector<int64_t>{1, 3, 4});
}

TEST_CASE("The last are kept, and the best", "[saver]") {
  tf::EagerMode eager;
  tf::Session session;
  Counter counter(session);
  const train::SaverState state = {{"v", counter.v}};
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::optional<double>> metrics = {3., 1., kNan, {}, 1., 0.5, 7., -INFINITY, 9.};
  const auto run = [&](const Scratch& scratch, SaverOptions options) {
    options.directory = scratch.folder();
    for (size_t i = 0; i < metrics.size(); ++i) {
      Saver saver(session, state, options);  // each finds what the one before left
      const auto n = static_cast<int64_t>(i) + 1;
      saver.save(n, metrics[i] ? train::Metric(*metrics[i]) : train::Metric());
      saver.wait();
      CHECK(saver.latest()->step == n);
    }
    return steps_in(scratch.folder());
  };
  const auto steps = [&](SaverOptions options) { return run(Scratch(), std::move(options)); };
  CHECK(steps({.keep_last = 2}) == Steps{8, 9});
  CHECK(steps({.keep_last = 0}) == Steps{1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(steps({.keep_last = 1, .keep_best = 1}) == Steps{8, 9});
  CHECK(steps({.keep_last = 1, .keep_best = 3}) == Steps{2, 6, 8, 9});  // of equal ones the first
  CHECK(steps({.keep_last = 1, .keep_best = 1, .higher_is_better = true}) == Steps{9});
  CHECK(steps({.keep_last = 1, .keep_best = 3, .higher_is_better = true}) == Steps{1, 7, 9});
  CHECK(steps({.keep_last = 1, .keep_best = 100}) == Steps{1, 2, 5, 6, 7, 8, 9});  // nothing and NaN are no metrics
  const Scratch scratch;
  run(scratch, {.keep_last = 3, .keep_best = 2});
  const Saver saver(session, state, {.directory = scratch.folder()});
  CHECK(steps_of(saver) == std::vector<int64_t>{6, 7, 8, 9});
  CHECK(saver.best()->step == 8);
  CHECK(saver.best()->metric == -INFINITY);
  CHECK(saver.latest()->metric == 9);
  CHECK(Saver(session, state, {.directory = scratch / "new"}).best() == std::nullopt);
}

TEST_CASE("A metric may be a scalar, which is read when a checkpoint is taken", "[saver]") {
  const Scratch scratch;
  in_each_mode([&](tf::Session& session) {
    Counter counter(session);
    Saver saver(session, {{"v", counter.v}}, {.directory = scratch.folder(), .every_steps = 2});
    CHECK_ERROR(saver.save(1, tf::tensor({1.f, 2.f})), InvalidArgument, "must be a scalar; its shape is (2,)");
    const Tensor accuracy = tf::tensor(0.5);
    CHECK(!saver.step(1, tf::tensor({1.f, 2.f})));  // not due, not read
    CHECK(saver.step(2, accuracy));
    saver.save(3, tf::tensor(4));
    saver.wait();
    CHECK(saver.checkpoints()[0].metric == 0.5);
    CHECK(saver.latest()->metric == 4);
    std::filesystem::remove_all(scratch.folder());
  });
  FreshGraph fresh;
  tf::Session session;
  Counter counter(session);
  Saver saver(session, {{"v", counter.v}}, {.directory = scratch.folder()});
  CHECK_ERROR(saver.save(1, tf::placeholder(tf::float32, {})), FailedPrecondition,
              "it has no value until a Session has run it");
}

TEST_CASE("Files that are damaged are passed over, with a warning that names them", "[saver]") {
  in_each_mode([&](tf::Session& session) {
    const Scratch scratch;
    Counter counter(session);
    const train::SaverState state = {{"v", counter.v}};
    {
      Saver saver(session, state, {.directory = scratch.folder()});
      CHECK(!saver.restore_latest());
      for (int n = 1; n <= 4; ++n) {
        counter.step();
        saver.save(n);
      }
    }
    std::filesystem::resize_file(scratch / "checkpoint-4.safetensors", 100);
    std::filesystem::remove(scratch / "checkpoint-3.safetensors");
    put(scratch / "checkpoint-12.safetensors", "{}");
    tf::io::save_safetensors(scratch / "checkpoint-13.safetensors", {{"v", tf::tensor({0.f})}});
    put(scratch / "checkpoint-014.safetensors", "of another name");
    for (const bool indexed : {true, false}) {
      const Warnings warnings;
      if (!indexed) std::filesystem::remove(scratch / "checkpoint.index.json");
      Saver saver(session, state, {.directory = scratch.folder()});
      CHECK(saver.restore_latest()->step == 2);
      CHECK(counter.value() == std::vector<float>{2});
      const std::string text = warnings.text();
      for (const char* name : {"4", "12", "13"}) {
        INFO(text);
        CHECK(text.find(std::string("checkpoint-") + name + ".safetensors") != std::string::npos);
      }
      CHECK(text.find("it is no checkpoint of a Saver's: it has no 'twofold.time'") != std::string::npos);
    }
    std::filesystem::resize_file(scratch / "checkpoint-2.safetensors", 100);
    std::filesystem::resize_file(scratch / "checkpoint-1.safetensors", 3);
    const Warnings warnings;
    // Without the index there is nothing that could be called a checkpoint.
    CHECK(!Saver(session, state, {.directory = scratch.folder()}).restore_latest());
  });
}

TEST_CASE("A byte that is flipped in a checkpoint's tensors is found", "[saver]") {
  const Scratch scratch;
  tf::EagerMode eager;
  tf::Session session;
  Counter counter(session, 3);
  const tf::Variable bytes(tf::tensor(std::vector<uint8_t>{1, 2, 3, 4, 5}));
  Saver saver(session, {{"v", counter.v}, {"bytes", bytes}}, {.directory = scratch.folder()});
  const std::string path = saver.save(1);
  saver.wait();
  const std::string whole = contents(path);
  uint64_t header;
  std::memcpy(&header, whole.data(), sizeof header);
  const size_t data = 8 + header;
  const auto random = tf::read_random_state(session);
  const int64_t numbers = 1 + random.at("ordinals").num_elements() + random.at("executions").num_elements();
  REQUIRE(static_cast<int64_t>(whole.size() - data) == 3 * 4 + 5 + numbers * 8);
  for (size_t n = data; n < whole.size(); ++n) {
    INFO(n);
    std::string flipped = whole;
    flipped[n] = static_cast<char>(flipped[n] ^ 1 << n % 8);
    put(path, flipped);
    CHECK_ERROR(saver.restore(path), DataLoss, "it is damaged: its checksum is not that of its tensors");
  }
  put(path, whole);
  CHECK(saver.restore(path).step == 1);
}

TEST_CASE("When all that are listed are damaged, that is an error", "[saver]") {
  const Scratch scratch;
  tf::EagerMode eager;
  tf::Session session;
  Counter counter(session);
  Saver saver(session, {{"v", counter.v}}, {.directory = scratch.folder()});
  saver.save(1);
  saver.wait();
  std::filesystem::resize_file(scratch / "checkpoint-1.safetensors", 100);
  const Warnings warnings;
  CHECK_ERROR(saver.restore_latest(), DataLoss, "None of the 1 checkpoints in '" + scratch.folder().string());
  // What cannot be read for another reason is no reason to take an older one.
  saver.save(2);
  saver.wait();
  std::filesystem::remove(scratch / "checkpoint-2.safetensors");
  std::filesystem::create_directory(scratch / "checkpoint-2.safetensors");
  CHECK_ERROR(saver.restore_latest(), FailedPrecondition, "checkpoint-2.safetensors' is not a regular file");
}

TEST_CASE("An index that is lost, damaged or hostile does no harm", "[saver]") {
  tf::EagerMode eager;
  tf::Session session;
  Counter counter(session);
  const train::SaverState state = {{"v", counter.v}};
  const std::string entry =
      R"({"file": "../victim-1.safetensors", "step": 1, "serial": 1, "time": "", "metric": null})";
  const std::vector<std::string> indices = {
      "",
      "{",
      "[]",
      R"({"version": 2, "checkpoints": []})",
      R"({"version": 1, "checkpoints": 3})",
      R"({"version": 1, "checkpoints": [)" + entry + "]}",
      R"({"version": 1, "checkpoints": [[]]})",
      R"({"version": 1, "checkpoints": [{"file": "checkpoint-1.safetensors", "step": -1}]})",
      std::string(100'000, '['),
      R"({"version": 1, "checkpoints": [{"file": "checkpoint-2.safetensors", "step": 1, "serial": 1, "time": ""}]})",
      R"({"version": 1, "checkpoints": [{"file": "checkpoint-1.safetensors", "step": 1, "serial": 1, "time": "", "metric": "x"}]})",
  };
  for (const std::string& index : indices) {
    INFO(index.substr(0, 200));
    const Scratch scratch;
    const std::string directory = scratch / "run";
    {
      Saver saver(session, state, {.directory = directory});
      for (const int n : {9, 1, 5}) saver.save(n, n);
    }
    put(scratch / "victim-1.safetensors", "victim");
    put(directory + "/checkpoint.index.json", index);
    const Warnings warnings;
    Saver saver(session, state, {.directory = directory, .keep_last = 1});
    CHECK(warnings.text().find("checkpoint.index.json' is damaged, and made anew from the files") != std::string::npos);
    CHECK(steps_of(saver) == std::vector<int64_t>{9, 1, 5});  // as they were saved
    CHECK(saver.best()->step == 1);
    saver.save(2);
    saver.wait();
    CHECK(steps_in(directory) == Steps{2});
    CHECK(contents(scratch / "victim-1.safetensors") == "victim");
  }
}

TEST_CASE("A mismatch is told by names, with both dtypes and shapes, and sets nothing", "[saver]") {
  in_each_mode([&](tf::Session& session) {
    const Scratch scratch;
    const tf::Variable w(tf::zeros({2, 3}), {.name = "w"}), b(tf::zeros({3}), {.name = "b"}), n(1, {.name = "n"});
    session.run(tf::global_variables_initializer());
    std::string path;
    {
      Saver saver(session, {{"w", w}, {"b", b}, {"old", n}}, {.directory = scratch.folder()});
      path = saver.save(1);
    }
    const tf::Variable other(tf::ones({3, 2}), {.name = "other"}), wide(tf::cast(tf::ones({3}), tf::float64));
    session.run(tf::variables_initializer({other, wide}));
    Saver saver(session, {{"w", other}, {"b", wide}, {"new", n}}, {.directory = scratch.folder()});
    for (const bool latest : {true, false}) {
      const auto restore = [&] { latest ? (void)saver.restore_latest() : (void)saver.restore(path); };
      const auto check = [&](const std::string& words) { CHECK_ERROR((restore(), 0), InvalidArgument, words); };
      check("'" + path + "': it does not fit the variables here: ");
      check("'w' is float32 (2, 3) in the file and float32 (3, 2) here");
      check("'b' is float32 (3,) in the file and float64 (3,) here");
      check("'new' is int32 () here and not in the file");
      check("'old' is int32 () in the file and not here");
      check("saver_test.cc:");
    }
    CHECK(floats(tf::read_state(session, {{"w", other}}).at("w")) == std::vector<float>(6, 1));
  });
}

TEST_CASE("A part is restored by a map of names", "[saver]") {
  in_each_mode([&](tf::Session& session) {
    const Scratch scratch;
    const std::string path = scratch / "elsewhere.safetensors";
    tf::io::save_safetensors(path, {{"encoder.0.weight", tf::tensor({1.f, 2.f})},
                                    {"encoder.0.bias", tf::tensor(3.f)},
                                    {"encoder.1.bias", tf::tensor(4.f)},
                                    {"head", tf::tensor({5.f, 6.f})}});
    const tf::Variable weight({0.f, 0.f}), bias(0.f), last(0.f), head({0.f, 0.f});
    session.run(tf::global_variables_initializer());
    const std::map<std::string, tf::Variable> all = {
        {"net.body.0.weight", weight}, {"net.body.0.bias", bias}, {"net.body.1.bias", last}, {"net.head", head}};
    Saver saver(session, all, {.directory = scratch.folder()});
    const auto values = [&] {
      std::vector<float> numbers;
      for (const auto& [name, value] : tf::read_state(session, all))
        for (const float f : floats(value)) numbers.push_back(f);
      return numbers;
    };
    using Names = std::vector<std::string>;
    CHECK(saver.restore_part(path, {{"head", "net.head"}}) == Names{"net.head"});
    CHECK(values() == std::vector<float>{0, 0, 0, 0, 5, 6});
    CHECK(saver.restore_part(path, {{"encoder.0.", "net.body.0."}}) == Names{"net.body.0.bias", "net.body.0.weight"});
    CHECK(values() == std::vector<float>{3, 1, 2, 0, 5, 6});
    // The longest counts, and a name before all beginnings.
    CHECK(saver
              .restore_part(path, {{"", "net."},
                                   {"encoder.", "net.body."},
                                   {"encoder.0.bias", "net.body.1.bias"},
                                   {"encoder.1.bias", "net.body.0.bias"}})
              .size() == 4);
    CHECK(values() == std::vector<float>{4, 1, 2, 3, 5, 6});
    const auto before = values();
    CHECK_ERROR(saver.restore_part(path, {{"heed", "net.head"}}), NotFound, "it has no tensor called 'heed'");
    CHECK_ERROR(saver.restore_part(path, {{"decoder.", "net."}}), NotFound,
                "no tensor whose name begins with 'decoder.'");
    CHECK_ERROR(saver.restore_part(path, {{"", "net."}}), NotFound,
                "'encoder.0.weight' would be the variable 'net.encoder.0.weight', which this Saver does not have");
    CHECK_ERROR(saver.restore_part(path, {{"encoder.", "net"}}), InvalidArgument, "'encoder.' cannot become 'net'");
    CHECK_ERROR(saver.restore_part(path, {{"head", "net.body.0.bias"}}), InvalidArgument,
                "'net.body.0.bias' is float32 (2,) as 'head' in the file and float32 () here");
    CHECK_ERROR(
        saver.restore_part(path, {{"encoder.0.bias", "net.body.1.bias"}, {"encoder.1.bias", "net.body.1.bias"}}),
        InvalidArgument, "the variable 'net.body.1.bias' would be set twice, the second time from 'encoder.1.bias'");
    CHECK_ERROR(saver.restore(path), DataLoss, "it is no checkpoint of a Saver's");
    CHECK_ERROR(saver.restore(path), DataLoss, "Try: saver.restore_part(path, names)");
    CHECK(values() == before);
  });
}

TEST_CASE("A full disk is told to the next caller, and what was there stays whole", "[saver]") {
  std::signal(SIGXFSZ, SIG_IGN);
  in_each_mode([&](tf::Session& session) {
    const Scratch scratch;
    Counter counter(session, 10000);
    rlimit limit{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    // A file that may not grow beyond 20000 bytes stands for a full disk.
    const rlimit small = {20000, limit.rlim_max};
    const Warnings warnings;
    {
      Saver saver(session, {{"v", counter.v}}, {.directory = scratch.folder(), .every_steps = 1});
      counter.step();
      saver.save(1);
      saver.wait();
      counter.step();
      const auto full = [&](const auto& call) {
        REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
        saver.save(2);
        std::string what;
        try {
          call();
        } catch (const tf::Error& e) {
          what = std::string(name_of(e.code())) + ": " + e.what();
        }
        setrlimit(RLIMIT_FSIZE, &limit);
        INFO(what);
        CHECK(what.starts_with("ResourceExhausted"));
        CHECK(what.find("checkpoint-2.safetensors': File too large") != std::string::npos);
        CHECK(what.find("saver_test.cc:") != std::string::npos);
      };
      full([&] { saver.wait(); });
      full([&] { saver.save(3); });
      full([&] {
        for (int i = 0; i < 10'000; ++i) {
          saver.step(2);  // not due: it has been saved, as far as it goes
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
      });
      saver.wait();  // has been told
      CHECK(steps_in(scratch.folder()) == Steps{1});
      CHECK(scratch.count() == 2);
      CHECK(saver.restore_latest()->step == 1);
      CHECK(counter.value()[0] == 1);
      saver.save(4);
      saver.wait();
      CHECK(steps_in(scratch.folder()) == Steps{1, 4});
      CHECK(warnings.text().empty());
      REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
      saver.save(5);
    }
    setrlimit(RLIMIT_FSIZE, &limit);
    CHECK(warnings.text().find("A checkpoint was not saved, and nobody has been told: ") != std::string::npos);
    CHECK(warnings.text().find("checkpoint-5.safetensors") != std::string::npos);
  });
}

TEST_CASE("A Saver refuses what makes no sense", "[saver]") {
  in_each_mode([&](tf::Session& session) {
    const Scratch scratch;
    Counter counter(session);
    const std::string directory = scratch.folder();
    const auto make = [&](SaverOptions options) { Saver(session, {{"v", counter.v}}, std::move(options)); };
    CHECK_ERROR((make({}), 0), InvalidArgument, "Saver: no directory is given");
    CHECK_ERROR((make({.directory = directory, .prefix = "a/b"}), 0), InvalidArgument, "the prefix is 'a/b'");
    CHECK_ERROR((make({.directory = directory, .prefix = ""}), 0), InvalidArgument, "the prefix is ''");
    CHECK_ERROR((make({.directory = directory, .keep_last = -1}), 0), InvalidArgument, "keep_last is -1");
    CHECK_ERROR((make({.directory = directory, .keep_best = -1}), 0), InvalidArgument, "keep_best is -1");
    CHECK_ERROR((make({.directory = directory, .every_steps = -1}), 0), InvalidArgument, "every_steps is -1");
    CHECK_ERROR((make({.directory = directory, .every_minutes = NAN}), 0), InvalidArgument, "every_minutes is nan");
    put(scratch / "file", "");
    CHECK_ERROR((make({.directory = scratch / "file"}), 0), NotFound, "Cannot make the directory");
    CHECK_ERROR((make({.directory = scratch / "file/below"}), 0), NotFound, "Cannot make the directory");
    CHECK_ERROR(Saver(session, std::map<std::string, tf::Variable>(), {.directory = directory}), InvalidArgument,
                "there are no variables to keep");
    CHECK_ERROR(Saver(session, {{"twofold.v", counter.v}}, {.directory = directory}), InvalidArgument,
                "the variable's name 'twofold.v' begins with 'twofold.'");
    CHECK_ERROR((train::SaverState{{"v", counter.v}, {"v", counter.v}}), InvalidArgument,
                "Two variables of a Saver are called 'v'");

    Saver saver(session, {{"v", counter.v}}, {.directory = directory});
    CHECK_ERROR(saver.step(1), FailedPrecondition, "was not told when to save by itself");
    CHECK_ERROR(saver.save(-1), InvalidArgument, "-1 steps cannot have been done");
    CHECK_ERROR(saver.restore(scratch / "none"), NotFound, "No such file");
    Saver noting(session, {{"v", counter.v}}, {.directory = directory, .notes = [] {
                                                 return tf::io::Metadata{{"twofold.step", "3"}};
                                               }});
    CHECK_ERROR(noting.save(1), InvalidArgument, "A note is called 'twofold.step'");
    auto inside = tf::step(session, [&] {
      saver.save(1);
      return counter.v.read();
    });
    CHECK_ERROR(inside(), FailedPrecondition, "A Saver was called in the body of a step, loop or branch");
    CHECK(steps_in(directory).empty());
  });
}

TEST_CASE("A random state of another seed is an error, and sets nothing; it may be left out", "[saver]") {
  in_each_mode([&](tf::Session& session) {
    const Scratch scratch;
    Counter counter(session);
    const train::SaverState state = {{"v", counter.v}};
    std::string path;
    {
      Saver saver(session, state, {.directory = scratch.folder()});
      path = saver.save(1);
    }
    counter.step();
    tf::set_random_seed(8);
    Saver saver(session, state, {.directory = scratch.folder()});
    CHECK_ERROR(saver.restore(path), FailedPrecondition, "Try: tf::set_random_seed(7)");
    CHECK(counter.value() == std::vector<float>{1});
    Saver without(session, state, {.directory = scratch.folder(), .random_state = false});
    CHECK(without.restore(path).step == 1);
    CHECK(counter.value() == std::vector<float>{0});
    path = without.save(2);
    without.wait();
    CHECK(!tf::io::load_safetensors(path).contains("twofold.random.seed"));
  });
}
