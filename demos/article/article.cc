// The article's snippets: what it printed, what twofold prints, and why they differ.
#include <twofold/twofold.h>
#include <iostream>
#include <string_view>

namespace tf = twofold;

namespace {

void heading(std::string_view text) { std::cout << "\n== " << text << "\n\n"; }
void show(std::string_view label, std::string_view text) { std::cout << label << '\n' << text << '\n'; }

// The one text of both modes.
void add_two_variables() {
  auto a = tf::Variable(1);
  auto b = tf::Variable(2);
  auto c = a + b;
  std::cout << "    " << c << '\n';
}

void deferred_sum() {
  heading("1. A graph: a + b is a symbol");
  show("The article:", "    a = tf.Variable(1)\n    b = tf.Variable(2)\n    c = a + b\n    print(c)");
  show("It printed:", "    Tensor(\"add:0\", shape=(), dtype=int32)");
  std::cout << "twofold prints, in deferred mode:\n";
  const tf::Graph graph;
  const auto scope = graph.as_default();
  add_two_variables();
  show("Why:",
       "    Nothing was computed: c names an output of a node. The article calls `a` \"just a placeholder\", which it\n"
       "    is not: a Variable is state that a session holds, a placeholder is an input of a run; and c is a Tensor.");
}

void eager_sum() {
  heading("2. Eager: a + b is a value");
  show("The article:", "    the same lines, executed at once");
  show("It printed:", "    3");
  std::cout << "twofold prints, the same C++ function called in eager mode:\n";
  const tf::EagerMode eager;
  add_two_variables();
  show("Why:",
       "    The function did not change, only the mode around its call. The kernel that added is the same one, too.");
}

void session_run() {
  heading("3. A session: a * x + b with x = 3");
  show("The article:",
       "    x = tf.placeholder()\n    yhat = a * x + b\n    with tf.session() as s:\n"
       "        s.run(yhat, feed_dict={x:. 3})\n    print(yhat)");
  show("It printed:", "    [0.5]");
  std::cout << "twofold, step by step:\n";
  const tf::Graph graph;
  const auto scope = graph.as_default();
  auto a = tf::Variable(1.f), b = tf::Variable(2.f);
  auto x = tf::placeholder(tf::float32);
  auto yhat = a * x + b;
  tf::Session session;
  std::cout << "    run before the variables are initialised:\n      ";
  try {
    session.run(yhat, {{x, 3.f}});
  } catch (const tf::Error& e) {
    std::cout << e.message() << '\n';
  }
  session.run(tf::global_variables_initializer());
  std::cout << "    run without a feed:\n      ";
  try {
    session.run(yhat);
  } catch (const tf::Error& e) {
    std::cout << e.message() << '\n';
  }
  const auto result = session.run(yhat, {{x, 3.f}});
  std::cout << "    the result of the run:\n      " << result << "\n    yhat itself, after the run:\n      " << yhat
            << '\n';
  show("Why:",
       "    1 * 3 + 2 is 5; no run gives [0.5]. The article throws the run's result away and prints yhat, which is "
       "still\n"
       "    the symbol. Its variables were never initialised, its placeholder has no dtype, and `tf.session` and\n"
       "    `{x:. 3}` are not the API.");
}

void eager_line() {
  heading("4. The same line in eager mode");
  const tf::EagerMode eager;
  auto a = tf::Variable(1.f), b = tf::Variable(2.f);
  auto x = tf::tensor(3.f);
  std::cout << "    a * x + b gives " << a * x + b << "\n    and a placeholder has no place here:\n      ";
  try {
    (void)tf::placeholder(tf::float32);
  } catch (const tf::Error& e) {
    std::cout << e.message() << '\n';
  }
}

void times() {
  heading("5. The article's training times");
  std::cout << R"(The article trains a convolutional net for 20 steps and reports, in seconds:

                              eager    traced
    CPU                        9.31      8.03
    GPU                       0.752      1.39

It concludes that the traced graph is "significantly faster". On its CPU that is a factor of 1.16; on its GPU the traced
run is slower. Warm-up, compilation and uploads are inside these times, and the GPU's eager run goes on from weights that
were trained already. Its net never calls its linear layers, so the loss reads raw features as class scores: hence its
negative losses. Mode and compiler are two things, and the article changes both at once. The demos `linear` and `myconv`
keep them apart: eager, deferred with optimisation off, deferred and optimised, each with its first run shown by itself.
`myconv` trains the article's net so. docs/article.md sets every claim beside what can be measured.
)";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {  // by hand: CLI11 would take longer to compile than all the rest
    const bool asked = std::string_view(argv[1]) == "--help" || std::string_view(argv[1]) == "-h";
    (asked ? std::cout : std::cerr) << "Runs the article's snippets, deferred and eager, and says where it slips.\n"
                                       "It takes no options but --help.\n";
    return asked ? 0 : 1;
  }
  try {
    deferred_sum();
    eager_sum();
    session_run();
    eager_line();
    times();
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
