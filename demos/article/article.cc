// The article's snippets: what it printed, what twofold prints, and why they differ.
#include <twofold/twofold.h>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string_view>

#include "facts.h"

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

void plain_sum() {
  heading("1. Plain code: 1 + 2");
  show("The article, in plain Python, prints:", "    3");
  std::cout << "C++ prints:\n    " << 1 + 2 << '\n';
}

void deferred_sum() {
  heading("2. A graph: a + b is a symbol");
  show("The article, in TensorFlow 1:", "    a = tf.Variable(1)\n    b = tf.Variable(2)\n    c = a + b\n    print(c)");
  show("It says that this prints:", "    <tf.Variable ... shape()>");
  std::cout << "twofold prints, in deferred mode:\n";
  const tf::Graph graph;
  const auto scope = graph.as_default();
  add_two_variables();
  show("Why:",
       "    Nothing was computed: c names an output of a node. The sum of two Variables is a Tensor, not a Variable, "
       "and\n"
       "    TensorFlow 1, too, prints the line that twofold does. The article also calls `a` \"just a placeholder\", "
       "which\n"
       "    it is not: a Variable is state that a session holds, a placeholder is an input of a run.");
}

void eager_sum() {
  heading("3. Eager: a + b is a value");
  show("The article, in PyTorch:", "    two tensors of 1 and 2, their sum printed");
  show("It printed:", "    tensor(3)");
  std::cout << "twofold prints, the function of part 2 called in eager mode:\n";
  const tf::EagerMode eager;
  add_two_variables();
  std::cout << "    and with its dtype, by tf::repr: " << tf::repr(tf::tensor(1) + tf::tensor(2)) << '\n';
  show("Why:",
       "    The function did not change, only the mode around its call. The kernel that added is the same one, too. "
       "For\n"
       "    TensorFlow the article names tf.compat.v1.enable_eager_execution() as the way to this; here it is\n"
       "    tf::enable_eager_execution() for a program, tf::EagerMode for a scope.");
}

void session_run() {
  heading("4. A session: a * x + b with x = 3");
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
  heading("5. The same line in eager mode");
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

void net() {
  heading("6. The net that the article trains");
  std::cout
      << "Three times Conv2d 3x3, BatchNorm2d and ReLU, then Linear, ReLU, Linear, LogSoftmax. As printed it owns "
      << article::kOwnedParameters << "\nparameters, but its `forward` calls the convolutional part alone, which has "
      << article::kUsedParameters << R"(. So its loss
reads raw features as the logarithms of class probabilities, and is negative. The model that the article prints before
it trains the traced one is a second one, made for printing: not the one that is trained. At its end it prints the )"
      << std::size(article::kClasses) << "\nrandom classes, but neither the images nor the weights.\n";
}

void times() {
  heading("7. The article's training times");
  std::cout << "20 steps, in seconds (user, system, wall):\n\n";
  for (const article::Run& r : article::kRuns)
    std::printf("    %-12s%-18s%8.3g%8.3g%8.3g\n", r.name, r.own_name, r.user_s, r.system_s, r.wall_s);
  const auto wall = [](int i) { return article::kRuns[i].wall_s; };
  std::printf(R"(
That JIT is significantly faster the article says before it measures, and it draws no conclusion from what it measured. On
its CPU the traced run takes %.2f of the eager one's time, on its GPU %.2f: it is slower. Warm-up, compilation and
uploads are inside these times, and the GPU's eager run goes on from weights that were trained already. Mode and
compiler are two things, and the article changes both at once. The demos `linear` and `myconv` keep them apart: eager,
deferred with optimisation off, deferred and optimised, each with its first step shown by itself. `myconv` trains the
article's net so, and prints all of the article's losses beside its own. docs/article.md sets every claim beside what
can be measured.
)",
              wall(1) / wall(0), wall(3) / wall(2));
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
    plain_sum();
    deferred_sum();
    eager_sum();
    session_run();
    eager_line();
    net();
    times();
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
