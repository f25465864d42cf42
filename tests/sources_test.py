#!/usr/bin/env python3
"""Checks what the sources promise about each other.

usage: sources_test.py SOURCE_ROOT OBJECTS     OBJECTS: the folder of the library's object files

- Which folder may include which (the table in floors.py), and call what of it, with every exception named and explained.
- A function is defined on the floor whose header declares it, with every exception named and explained.
- Headers that programs reach include neither Eigen, nlohmann-json, libzip nor CUDA.
- Every attribute struct names all of its members in TWOFOLD_FIELDS.
- Sources that comments and messages speak of exist.
- Names of ops that have kernels are declared in the headers of their folders alone, and each has its OpDef.
- What a file takes from the standard library has its header included by the file or by a header of ours that it includes:
  another compiler's <functional> need not bring <algorithm>.
"""
import os
import re
import subprocess
import sys

from floors import FLOORS, floor

root, objects = sys.argv[1:]
os.chdir(root)
problems = []

# By file: the floor that it may include and call beside those below it, and why.
EXCEPTIONS = {
    ("lib/core/core.cc", "lib/runtime"): "an Error names the op under way on its thread, which fail() learns from the thread's state",
}

# By header, and the file of another floor that defines what it declares: why.
DEFINED_ELSEWHERE = {
    ("lib/core/error.h", "lib/runtime/thread_state.cc"): "an Error names the op under way on its thread, and its line",
    ("lib/core/shape.h", "lib/runtime/thread_state.cc"): "the same",
    ("lib/op/extents.h", "kernels/layout/extents.cc"): "extents that a run gives become one tensor, or one tensor many, by ops",
    ("lib/op/tensor.h", "graph/graph.cc"): "an Operation is a node, which only graph/ knows",
    ("lib/op/tensor.h", "kernels/layout/layout.cc"): "x[i] is an op, spelled as a member",
    ("lib/op/tensor.h", "kernels/layout/transfer.cc"): "x.to(device) is an op, spelled as a member",
    ("lib/op/tensor_parts.h", "graph/graph.cc"): "what a symbol's handle holds depends on the step that is being built",
    ("lib/op/variable.h", "kernels/variable/variable.cc"): "v.assign(x) is an op, spelled as a member",
}


def sources():
    for top in ("lib", "graph", "eager", "session", "kernels"):
        for folder, _, files in os.walk(top):
            for name in files:
                if name.endswith((".h", ".cc", ".cu", ".def")):
                    yield os.path.join(folder, name)


def read(path):
    with open(path) as f:
        return f.read()


def includes(path):
    return re.findall(r'^\s*#include [<"]([^>"]+)[>"]', read(path), re.M)


def is_allowed(path, there, used):
    here = floor(path)
    if here == there or there in FLOORS.get(here, set()):
        return True
    used.add((path, there))
    return (path, there) in EXCEPTIONS


def check_floors():
    used = set()
    for path in sources():
        for target in includes(path):
            if not target.startswith("twofold/") or path == "lib/twofold.h":
                continue
            target = target.removeprefix("twofold/")
            if not is_allowed(path, floor(target), used):
                problems.append(f"{path} may not include {target}: {floor(path)} lies below {floor(target)}, or beside it")
    check_calls(used)
    for path, there in EXCEPTIONS.keys() - used:
        problems.append(f"{path} no longer needs {there}: take it off the exceptions")


def check_calls(used):
    """What is declared low and defined high would escape the includes."""
    paths = {re.sub(r"[/.]", "_", path[:-3]) + ".cc.o": path for path in sources() if path.endswith(".cc")}
    defined, wanted = {}, {}
    for name in sorted(os.listdir(objects)):
        path = paths.get(name)
        if not path:
            continue
        for line in subprocess.check_output(["nm", "-C", os.path.join(objects, name)], text=True).splitlines():
            kind, symbol = line[17:18], line[19:]
            if kind in "TDBR":
                defined.setdefault(symbol, path)
            elif kind == "U":
                wanted.setdefault(symbol, set()).add(path)
    calls = 0
    for symbol, users in wanted.items():
        if symbol not in defined:
            continue
        for user in sorted(users):
            calls += 1
            if not is_allowed(user, floor(defined[symbol]), used):
                problems.append(f"{user} may not use {symbol.split('(')[0]}, which {defined[symbol]} defines: "
                                f"{floor(user)} lies below {floor(defined[symbol])}, or beside it")
    check_definitions(defined)
    if calls < 1000:
        problems.append(f"only {calls} calls between sources were found in {objects}: this check sees nothing")


def declarations():
    """By name the headers that declare it: classes with what is in them, free functions, variables."""
    classes, free = {}, {}
    for path in sources():
        if not path.endswith(".h") or path.endswith("_gpu.h"):  # those are of another library
            continue
        text = re.sub(r"//[^\n]*", "", read(path))
        for name in re.findall(r"^\s*(?:class|struct)\b(?:\s*\[\[.*?\]\])?\s+([\w:]+)[^;{()]*\{", text, re.M | re.S):
            classes.setdefault(name.split("::")[-1], set()).add(path)
        for name in re.findall(r"^(?:\[\[.*?\]\] )?[\w:][^\n;{}=]*?\b(\w+)\(", text, re.M):
            free.setdefault(name, set()).add(path)
        for names in re.findall(r"^extern ([^;(]*);", text, re.M):
            for name in re.findall(r"\w+", names):
                free.setdefault(name, set()).add(path)
    return classes, free


def check_definitions(defined):
    """What is declared low and defined high is called from below, be it by nobody today."""
    classes, free = declarations()
    used, compared = set(), 0
    for symbol, path in sorted(defined.items()):
        names = [n for n in re.sub(r"\[abi:\w+\]|<.*?>|\(.*", "", symbol.removeprefix("twofold::")).split("::")]
        owner = next((n for n in names[:-1] if n in classes), None)
        headers = classes[owner] if owner else free.get(names[-1], set())
        if not headers or names[-1].endswith("_field"):  # each type of an attribute's field overloads these beside its definition
            continue
        compared += 1
        if any(floor(h) == floor(path) for h in headers):
            continue
        header = min(headers)
        used.add((header, path))
        if (header, path) not in DEFINED_ELSEWHERE:
            problems.append(f"{header} declares {'::'.join(names)}, which {path} defines: on another floor")
    for header, path in DEFINED_ELSEWHERE.keys() - used:
        problems.append(f"{path} defines nothing that {header} declares: take it off the exceptions")
    if compared < 500:
        problems.append(f"only {compared} definitions were compared with their declarations: this check sees nothing")


def check_public_headers():
    seen, stack = set(), ["lib/twofold.h"] + [p for p in sources() if re.fullmatch(r"kernels/(\w+)/\1\.h", p)]
    while stack:
        path = stack.pop()
        if path in seen or not os.path.exists(path):
            continue
        seen.add(path)
        for target in includes(path):
            if target.startswith("twofold/"):
                stack.append(target.removeprefix("twofold/"))
            elif re.match(r"(unsupported/)?Eigen|nlohmann/|cuda|cudnn|cublas|nccl|nvrtc|cub/|thrust/|zip\.h|google/|lib/program\.pb", target):
                problems.append(f"{path}, which programs include, includes {target}")
    if len(seen) < 20:
        problems.append(f"only {len(seen)} public headers were found")


def check_fields():
    count = 0
    for path in sources():
        text = re.sub(r"//[^\n]*", "", read(path))
        for name, members, fields in re.findall(r"struct (\w+) \{([^{}]*(?:\{[^{}]*\}[^{}]*)*?)TWOFOLD_FIELDS\(([^)]*)\)", text):
            count += 1
            declared = set()
            for statement in members.split(";"):
                statement = re.sub(r"\{[^{}]*\}|=.*", "", statement, flags=re.S).strip()
                if statement:
                    declared |= {re.findall(r"\w+", part)[-1] for part in re.sub(r"<[^<>]*>", "", statement).split(",")}
            listed = {f.strip() for f in fields.split(",")}
            if declared != listed:
                problems.append(f"{path}: {name} declares {sorted(declared)} but TWOFOLD_FIELDS lists {sorted(listed)}")
    if count < 10:
        problems.append(f"only {count} attribute structs were found")


def check_op_names():
    """OpNames are declared in `namespace op_name` of headers in kernels/ alone, and an OpDef is made from each."""
    declared, used = {}, ""
    for path in sources():
        text = re.sub(r"//[^\n]*", "", read(path))
        if path != "lib/runtime/op_name.h" and "DeclaredOps" in text:
            problems.append(f"{path} makes an OpName by itself: TWOFOLD_OP_NAME declares them")
        if path == "lib/runtime/op_name.h":
            continue
        spaces = "".join(re.findall(r"\nnamespace op_name \{\n(.*?)\n\} *\n", text, flags=re.S))
        names = re.findall(r"TWOFOLD_OP_NAME\((\w+)\)", text)
        if names and (not re.fullmatch(r"kernels/\w+/\w+\.h", path) or names != re.findall(r"TWOFOLD_OP_NAME\((\w+)\)", spaces)):
            problems.append(f"{path} declares an op's name elsewhere than in namespace op_name of a header of kernels/")
        declared |= {name: path for name in names}
        if path.startswith("kernels/") and not re.search(r"_(cpu|gpu)\.|\.cu$|\.h$", path):
            used += text
    declared.pop("Op", None)  # the parameter of the macros by which kernels/pointwise/ops.def declares names and OpDefs
    for name, path in sorted(declared.items()):
        if not re.search(rf"\bop_name::{name}\b", used):
            problems.append(f"{path} declares op_name::{name}, of which no OpDef is made")
    if len(declared) < 30:
        problems.append(f"only {len(declared)} names of ops were found")


def check_mentions():
    """Sources that comments and messages speak of exist."""
    seen = 0
    for top in ("lib", "graph", "eager", "session", "kernels", "tests", "demos", "tools"):
        for folder, _, files in os.walk(top):
            for path in (os.path.join(folder, name) for name in files if name.endswith((".h", ".cc", ".cu", ".def", ".py", ".sh", ".build"))):
                for name in re.findall(r"(?<![\w/.-])(?:lib|graph|eager|session|kernels|tests|demos|docs|tools)/[\w/-]+\.(?:h|cc|cu|def|py|sh|md)\b",
                                       re.sub(r"#include [^\n]*", "", read(path))):
                    seen += 1
                    if not os.path.exists(name) and "/foo/" not in name:
                        problems.append(f"{path} speaks of {name}, which is not there")
    if seen < 50:
        problems.append(f"only {seen} sources were spoken of")


# Names of std:: by their headers. Left out: what several headers bring by the standard's word (move, swap, begin, less, hash, ...).
STANDARD = {
    "algorithm": "all_of any_of binary_search clamp copy copy_if copy_n count count_if equal fill fill_n find find_if find_if_not "
                 "generate is_sorted lexicographical_compare lower_bound max max_element merge min min_element minmax "
                 "minmax_element mismatch next_permutation none_of nth_element partial_sort partition remove remove_if replace "
                 "reverse rotate search shuffle sort stable_sort swap_ranges transform unique upper_bound",
    "array": "array to_array",
    "atomic": "atomic atomic_flag atomic_ref",
    "bit": "bit_cast bit_width countr_zero has_single_bit popcount",
    "charconv": "from_chars to_chars",
    "chrono": "chrono",
    "cmath": "ceil erf erfc exp expm1 floor fma frexp hypot isfinite isinf isnan ldexp lgamma log log1p nearbyint nextafter pow "
             "round signbit sqrt tanh trunc",
    "condition_variable": "condition_variable",
    "cstdlib": "abort exit getenv setenv strtol strtoull system",
    "cstring": "memcmp memcpy memmove memset strcmp strlen",
    "deque": "deque",
    "filesystem": "filesystem",
    "fstream": "fstream ifstream ofstream",
    "functional": "bind cref function greater multiplies plus ref reference_wrapper",
    "future": "async future promise",
    "iomanip": "setfill setprecision setw",
    "iostream": "cerr clog cout",
    "limits": "numeric_limits",
    "list": "list",
    "map": "map multimap",
    "memory": "enable_shared_from_this make_shared make_unique shared_ptr unique_ptr weak_ptr",
    "mutex": "call_once lock_guard mutex once_flag scoped_lock unique_lock",
    "numeric": "accumulate gcd inner_product iota lcm midpoint partial_sum reduce",
    "optional": "nullopt optional",
    "random": "mt19937 mt19937_64 normal_distribution uniform_int_distribution uniform_real_distribution",
    "ranges": "views",
    "regex": "regex regex_match regex_search smatch",
    "set": "multiset set",
    "shared_mutex": "shared_lock shared_mutex",
    "source_location": "source_location",
    "span": "span",
    "sstream": "istringstream ostringstream stringstream",
    "stdexcept": "invalid_argument logic_error out_of_range runtime_error",
    "string": "stod stoi stoll string to_string",
    "string_view": "string_view",
    "thread": "jthread thread",
    "tuple": "apply make_tuple tie tuple tuple_cat tuple_size_v",
    "typeindex": "type_index",
    "unordered_map": "unordered_map",
    "unordered_set": "unordered_set",
    "variant": "get_if holds_alternative monostate variant visit",
    "vector": "vector",
}


def standard_headers(path, known):
    """The standard headers that `path` or a header of ours that it includes, directly or not, includes."""
    if path not in known:
        known[path] = found = set()
        if path == "ops.h":  # written by the build
            for family in {p for p in sources() if re.fullmatch(r"kernels/(\w+)/\1\.h", p)}:
                found |= standard_headers(family, known)
        for target in includes(path) if os.path.exists(path) else []:
            beside = [os.path.normpath(os.path.join(folder, target)) for folder in (os.path.dirname(path), "tests", "demos")]
            if target.startswith("twofold/"):
                name = target.removeprefix("twofold/")
                found |= standard_headers("lib/twofold.h" if name == "twofold.h" else name, known)
            elif ours := [p for p in beside if os.path.exists(p)]:
                found |= standard_headers(ours[0], known)
            else:
                found.add(target)
    return known[path]


def check_standard_headers():
    header_of = {name: header for header, names in STANDARD.items() for name in names.split()}
    known, seen = {}, 0
    for top in ("lib", "graph", "eager", "session", "kernels", "tests", "demos", "tools"):
        for folder, _, files in os.walk(top):
            for path in sorted(os.path.join(folder, name) for name in files if name.endswith((".h", ".cc", ".cu"))):
                code = re.sub(r'//[^\n]*|R"(\w*)\(.*?\)\1"|"(\\.|[^"\\\n])*"', "", read(path), flags=re.S)
                have, wanted = standard_headers(path, known), {}
                for space, name in re.findall(r"\bstd::(ranges::|views::)?(?!function\b[^<])(\w+)", code):
                    header = "ranges" if space == "views::" else header_of.get(name)
                    if header and (not space or header in ("ranges", "algorithm")):
                        wanted.setdefault(header, name)
                seen += len(wanted)
                if "string" in have:
                    wanted.pop("string_view", None)
                problems.extend(f"{path} uses std::{name} and nothing of ours that it includes includes <{header}>"
                                for header, name in sorted(wanted.items()) if header not in have)
    if seen < 1000:
        problems.append(f"only {seen} uses of the standard library were found")


check_floors()
check_public_headers()
check_fields()
check_op_names()
check_mentions()
check_standard_headers()
print("\n".join(problems) or "the sources keep their promises")
sys.exit(1 if problems else 0)
