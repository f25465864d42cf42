// What list ops do, one function an op: their OpDef::run.
#pragma once

#include <span>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/tensor.h>

namespace twofold::list_run {

using Given = std::span<const Tensor* const>;

void reserve(AttrsView attrs, Given in, Outputs& out);
void set(AttrsView attrs, Given in, Outputs& out);
void get(AttrsView attrs, Given in, Outputs& out);
void stack(AttrsView attrs, Given in, Outputs& out);
void from(AttrsView attrs, Given in, Outputs& out);
void length(AttrsView attrs, Given in, Outputs& out);
void erase(AttrsView attrs, Given in, Outputs& out);
void item_like(AttrsView attrs, Given in, Outputs& out);
void item(AttrsView attrs, Given in, Outputs& out);
void stack_like(AttrsView attrs, Given in, Outputs& out);
void add(AttrsView attrs, Given in, Outputs& out);
void if_arrived(AttrsView attrs, Given in, Outputs& out);

}  // namespace twofold::list_run
