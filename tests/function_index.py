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
  allocate carries_gradient deallocate dispatch fail fail_at fail_saving from_field gaussian gelu_grad hash_field host_memory_bytes is_floating is_integer
  line_of make_ref mix nn::to_string parse_device perturb_field print_field promote relu_grad resolve_all same_field
  sigmoid_grad silu_grad size_of spelling_of tanh_grad to_field
""".split())
# Free functions of the namespaces that programs use; classes begin with a capital.
FUNCTION = re.compile(r"(nn::|train::|io::)?[a-z]\w+")

source, build = sys.argv[1:]
declared = {name for header, names in public_functions(build) for name in names}
found = {name for name in declared if FUNCTION.fullmatch(name)} - OWN
found = {name for name in found if not name.startswith("register_")}
with open(os.path.join(source, "docs/ops.md")) as document:
    cells = re.findall(r"^\| (`[^|]*?) \|", document.read(), re.M)
named = {re.sub(r"\(.*", "", code) for cell in cells for code in re.findall(r"`([^`]+)`", cell)}
for name in sorted(found - named):
    print(f"docs/ops.md does not name {name}")
for name in sorted(named - found):
    print(f"docs/ops.md names {name}, which no header declares")
for name in sorted(OWN - declared):
    print(f"this test passes over {name}, which no header that programs include declares any more")
print(f"{len(found & named)} functions are in the headers and in docs/ops.md")
sys.exit(1 if found != named or not OWN <= declared else 0)
