// What all optimisers share.
#pragma once

#include <concepts>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <twofold/lib/op/tensor.h>
#include <twofold/lib/op/variable.h>

namespace twofold {
struct RowsGradient;
namespace internal {
class Setting;
}
}  // namespace twofold

namespace twofold::train {

/// What the learning rate is multiplied by in a step, from the number of steps done before it, a float64 scalar. Ops
/// only: it is part of the step in both modes. Some are in schedules.h.
using Schedule = std::function<Tensor(const Tensor& step)>;

/// The learning rate that an optimiser begins with: a number.
struct LearningRate {
  constexpr LearningRate(double rate) : value(rate) {}
  template <internal::TensorHandle T>
  LearningRate(const T&) : value(0) {
    static_assert(kNever<T>,
                  "lr is a number; one that changes is a schedule: opt.set_schedule([](const Tensor& step) { ... }), "
                  "by which lr is multiplied");
  }
  /// The number.
  constexpr operator double() const { return value; }
  double value;  ///< the number
};

/// Changes parameters along gradients. Its state (velocities, moments, counts) are variables, made with the optimiser
/// and not trainable. A parameter that the loss does not depend on, be it for a branch not taken, is left alone with
/// its state.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// compute_gradients, then apply_gradients. Eager, it needs a live tape, which `tf::step` provides.
  Operation minimize(const Tensor& loss, std::source_location where = std::source_location::current());
  template <class T = void>
  Operation minimize(const Tensor&, const std::vector<Variable>&) {
    static_assert(!std::is_void_v<T>,
                  "an optimiser changes the parameters it was made with: train::SGD opt({w}, {.lr = 0.1}), then "
                  "opt.minimize(loss)");
    return {};
  }
  /// d loss / d p for each parameter; undefined where the loss does not depend on it.
  std::vector<Tensor> compute_gradients(const Tensor& loss,
                                        std::source_location where = std::source_location::current()) const;
  /// One step along `gradients`, one for each parameter. Throws InvalidArgument on another number of gradients, or if
  /// all are undefined: "No gradients provided for any variable".
  Operation apply_gradients(const std::vector<Tensor>& gradients,
                            std::source_location where = std::source_location::current());

  /// From the next step on; counts from 0. A deferred step that has been built is built anew. The count is a variable,
  /// made when the first schedule is set: a session that has initialised already is to run
  /// `variables_initializer(opt.state())`, or of that variable alone. Not in the body of a `tf::step`:
  /// FailedPrecondition.
  void set_schedule(Schedule schedule, std::source_location where = std::source_location::current());
  template <class F>
  requires(!std::convertible_to<F, Schedule>) void set_schedule(F&&) {
    static_assert(kNever<F>,
                  "a schedule is a function of the steps done: opt.set_schedule([](const Tensor& step) { return "
                  "tf::exp(step * -0.01); })");
  }

  /// Those that it changes, in the order given.
  const std::vector<Variable>& parameters() const { return parameters_; }
  /// Sets its own variables to their first values when run, and leaves the parameters alone: for an optimiser that is
  /// made when others have been initialised. Done already, hence undefined, in eager mode.
  Operation initializer(std::source_location where = std::source_location::current()) const;
  /// Its own variables, "m.0", "v.0", "step.0", ... by the numbers of their parameters: what a checkpoint holds beside
  /// the parameters.
  const std::map<std::string, Variable>& state() const { return state_; }

 protected:
  /// `name` is the type's, for errors and names of variables. Throws InvalidArgument if there is no parameter, if one
  /// is not floating or not fully shaped or is given twice, and if `lr` is negative.
  Optimizer(const char* name, std::vector<Variable> parameters, double lr, std::source_location where);
  Optimizer(const Optimizer&) = default;
  Optimizer& operator=(const Optimizer&) = default;

  /// Throws InvalidArgument if an option called `option` is negative, or not below `bound`.
  void check_option(const char* option, double value, double bound = std::numeric_limits<double>::infinity()) const;
  /// A variable for each parameter, of its shape and dtype and filled with `value`.
  std::vector<Variable> state_like_parameters(const char* name, double value = 0);
  /// A count for each parameter, an int64 scalar of 0.
  std::vector<Variable> counts();

  /// One step of parameter number `i`, the one place where optimisers differ. `lr`: a float64 scalar. The result, or
  /// what it is made from, changes the parameter when it is run.
  virtual Tensor update(size_t i, const Tensor& gradient, const Tensor& lr) const = 0;
  /// @{
  /// The same where the gradient is zero but for some rows, of optimisers that leave alone what has a gradient of zero.
  virtual bool takes_rows() const { return false; }
  virtual Tensor update_rows(size_t i, const RowsGradient& gradient, const Tensor& lr) const;
  /// @}

 private:
  Operation apply(const std::vector<Tensor>& gradients, std::span<const RowsGradient> rows, std::source_location where);
  Variable add_state(std::string path, const char* name, const Tensor& initial);

  const char* name_;
  std::vector<Variable> parameters_;
  double lr_;
  Schedule schedule_;
  std::shared_ptr<internal::Setting> schedule_setting_;  // how often it was set
  std::vector<Variable> steps_done_;                     // one where there is a schedule
  std::map<std::string, Variable> state_;
};

}  // namespace twofold::train
