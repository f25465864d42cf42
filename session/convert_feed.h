// From what a program feeds to what a plan takes.
#pragma once

#include <string>

#include <twofold/lib/runtime/kernel.h>
#include <twofold/session/session.h>

namespace twofold {

/// A concrete tensor of `spec`'s dtype whose shape fits; memory of the caller's is aliased where dtype and layout
/// allow. Errors name `key`: "Cannot feed value of shape (3,) for Tensor 'x:0', which has shape '(?, 2)'".
Tensor convert_feed(const Feed::Value& value, const TensorSpec& spec, const Fetch& key);
/// "x:0", as errors call a feed's key.
std::string key_name(const Fetch& key);

}  // namespace twofold
