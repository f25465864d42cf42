// The names that TensorFlow 1 programs have as tf.compat.v1: `namespace v1 = twofold::compat::v1;`.
#pragma once

#include <twofold/graph/graph.h>
#include <twofold/kernels/variable/variable.h>
#include <twofold/lib/autodiff/gradients.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/random_seed.h>
#include <twofold/session/session.h>
#include <twofold/session/state.h>

namespace twofold::compat::v1 {

using twofold::assign;
using twofold::assign_add;
using twofold::assign_sub;
using twofold::control_dependencies;
using twofold::device;
using twofold::enable_eager_execution;
using twofold::executing_eagerly;
using twofold::get_default_graph;
using twofold::global_variables;
using twofold::global_variables_initializer;
using twofold::gradients;
using twofold::Graph;
using twofold::group;
using twofold::is_variable_initialized;
using twofold::name_scope;
using twofold::no_op;
using twofold::placeholder;
using twofold::report_uninitialized_variables;
using twofold::reset_default_graph;
using twofold::Session;
using twofold::set_random_seed;
using twofold::trainable_variables;
using twofold::Variable;
using twofold::variables_initializer;

}  // namespace twofold::compat::v1
