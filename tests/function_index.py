#!/usr/bin/env python3
"""Checks that docs/ops.md names every function that <twofold/twofold.h> gives to programs, and none that is not there.

usage: function_index.py SOURCE_ROOT BUILD_ROOT

Functions are read from the headers as oracle/public_functions.py reads them: free ones of the namespaces that programs use. In the
document they are the `code` in the first column of its tables.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "oracle"))
from public_functions import public_functions  # noqa: E402

# For the library's own floors, though they stand in headers that programs include.
OWN = set("""
  adagrad_update adam_update all_ops allocate apply apply_all check_gradient_arguments check_input copy_of
  current_body current_pass_serial current_random_generation deallocate differentiate differentiate_unsummed dispatch eager_random_state either_arrived
  execution_id fail fail_at find_op gaussian gelu_grad give_back_eager_counts gradient_of gradients_but_rows guarded
  hash_field home_of host_memory_bytes if_arrived is_floating is_integer line_of make_ref marked_arrived mix
  new_random_body next_eager_random_counter next_random_key nn::to_string numerics_word op_of parallel_for
  parse_device perturb_field pointwise_records pop_profiler_range print_field profiler_ranges_wanted promote
  push_profiler_range random_key_of relu_grad resolve_all rmsprop_update same_field set_eager_random_counter
  set_eager_random_state sgd_rows_update sgd_rows_update_op sgd_update sigmoid_grad silu_grad size_of spelling_of
  sum_slices supports tanh_grad train::assign_all train::read_all train::update_all variable_key vjp
""".split())
# Free functions of the namespaces that programs use; classes begin with a capital.
FUNCTION = re.compile(r"(nn::|train::|io::)?[a-z]\w+")

source, build = sys.argv[1:]
found = {name for header, names in public_functions(build) for name in names if FUNCTION.fullmatch(name)} - OWN
found = {name for name in found if not name.startswith("register_")}
with open(os.path.join(source, "docs/ops.md")) as document:
    cells = re.findall(r"^\| (`[^|]*?) \|", document.read(), re.M)
named = {re.sub(r"\(.*", "", code) for cell in cells for code in re.findall(r"`([^`]+)`", cell)}
for name in sorted(found - named):
    print(f"docs/ops.md does not name {name}")
for name in sorted(named - found):
    print(f"docs/ops.md names {name}, which no header declares")
print(f"{len(found & named)} functions are in the headers and in docs/ops.md")
sys.exit(1 if found != named else 0)
