// From what a program feeds to what a plan takes.
#pragma once

#include <functional>
#include <string>

#include <twofold/session/session.h>

namespace twofold {

/// A concrete tensor of `spec`'s dtype whose shape fits; memory of the caller's is aliased where dtype and layout
/// allow. `name` is asked only for errors: "Cannot feed value of shape (3,) for Tensor 'x:0', which has shape '(?,
/// 2)'".
Tensor convert_feed(const Feed::Value& value, const TensorSpec& spec, const std::function<std::string()>& name);

}  // namespace twofold
