"""What must not compile does not, and the compiler's message says what to write instead.

    compile_fail.py INCLUDE_DIR COMPILER [ARGUMENT...]

Each case is a function body; the diagnostics must contain its texts. A body without texts must compile.
"""

import concurrent.futures
import os
import subprocess
import sys
import tempfile

FLAGS = ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-Wno-unused-variable"]
PROLOGUE = """namespace tf = twofold;
void body(tf::Tensor a, tf::Tensor b, tf::Variable v, tf::Variable w, tf::Graph g, tf::Session& session) {
  (void)a, (void)b, (void)v, (void)w, (void)g, (void)session;
  %s
}
"""

ASSIGN = ["a Variable is state: write v.assign(value), which returns the new value"]
EQUAL = ["write tf::equal(a, b) for elements, a.same_as(b) for handles", "deleted"]
NOT_EQUAL = ["write tf::not_equal(a, b) for elements, !a.same_as(b) for handles", "deleted"]
COPIED = ["deleted"]
DISCARDED = ["nodiscard"]

CASES = {
    # These show that the ones below fail for the reason they give.
    "handles are copied": ("tf::Tensor c = a; c = b; tf::Variable u = v; u = w;", []),
    "variables read as tensors": ("tf::Tensor c = v; c = v + w; v.assign(a); v.assign_add(1.f); v.assign_sub({1.f, 2.f});", []),
    "comparison that is meant": ("auto c = tf::equal(a, v); auto d = a < 3; if (a.same_as(b) || (g == g)) return; (void)c, (void)d;", []),
    "guards with names": ("tf::EagerMode e; auto s = tf::name_scope(\"s\"); auto d = tf::device(\"/cpu:0\"); auto k = g.as_default(); "
                          "tf::GradientTape t; auto c = tf::control_dependencies({a, v, \"x\"});", []),
    "explicit truth and number": ("if (a) return; float f = a.item<float>(); (void)f;", []),
    "options of variables": ("tf::Variable x{1}; tf::Variable y(1.f, {.name = \"y\", .trainable = false, .dtype = tf::float64});", []),
    # A Variable is changed by assign.
    "variable = number": ("v = 3.f;", ASSIGN),
    "variable = tensor": ("v = a;", ASSIGN),
    "variable = sum": ("v = v + 1;", ASSIGN),
    "variable = list": ("v = {1.f, 2.f};", ASSIGN),
    "variable += number": ("v += 1;", ["a Variable is state: write v.assign_add(value), which returns the new value"]),
    "variable += tensor": ("v += a;", ["a Variable is state: write v.assign_add(value), which returns the new value"]),
    "variable -= number": ("v -= 1;", ["a Variable is state: write v.assign_sub(value), which returns the new value"]),
    "variable *= number": ("v *= 2;", ["a Variable is state: write v.assign(v * value), which returns the new value"]),
    "variable /= number": ("v /= 2;", ["a Variable is state: write v.assign(v / value), which returns the new value"]),
    "variable from a number, implicitly": ("tf::Variable u = 1;", ["Variable"]),
    # Equality has two meanings.
    "tensor == tensor": ("if (a == b) return;", EQUAL),
    "tensor == number": ("if (a == 3) return;", EQUAL),
    "number == tensor": ("if (3 == a) return;", EQUAL),
    "variable == variable": ("if (v == w) return;", EQUAL),
    "variable == tensor": ("if (v == a) return;", EQUAL),
    "tensor != tensor": ("if (a != b) return;", NOT_EQUAL),
    "tensor != number": ("if (a != 3) return;", NOT_EQUAL),
    "variable != number": ("if (v != 3) return;", NOT_EQUAL),
    # A tensor is no number.
    "float f = tensor": ("float f = a + b;", ["Tensor", "float"]),
    "int i = tensor": ("int i = a;", ["Tensor", "int"]),
    "bool b = tensor": ("bool truth = a;", ["Tensor", "bool"]),
    "int of a dtype": ("auto x = a.item<const char*>();", ["item"]),
    "data of another type": ("auto x = a.data<short>();", ["data"]),
    # Guards stay where they are and have names.
    "copying EagerMode": ("tf::EagerMode e; tf::EagerMode f = e;", COPIED),
    "moving a tape": ("tf::GradientTape t; tf::GradientTape u = std::move(t);", COPIED),
    "copying a name scope": ("tf::NameScope s(\"s\"); auto t = s;", COPIED),
    "copying a device": ("tf::DeviceScope s(\"/cpu:0\"); auto t = s;", COPIED),
    "copying control dependencies": ("tf::ControlDependencies s({a}); auto t = s;", COPIED),
    "moving a graph's guard": ("auto s = g.as_default(); auto t = std::move(s);", COPIED),
    "copying a session": ("tf::Session s(g); tf::Session t = s;", COPIED),
    "ignoring EagerMode": ("tf::EagerMode();", DISCARDED),
    "ignoring a tape": ("tf::GradientTape();", DISCARDED),
    "ignoring name_scope": ("tf::name_scope(\"s\");", DISCARDED),
    "ignoring device": ("tf::device(\"/cpu:0\");", DISCARDED),
    "ignoring control_dependencies": ("tf::control_dependencies({a});", DISCARDED),
    "ignoring as_default": ("g.as_default();", DISCARDED),
}


def trial(compiler, folder, name, body, texts):
    command = [*compiler, *FLAGS, "-include", os.path.join(folder, "all.h"), "-fsyntax-only", "-x", "c++", "-"]
    done = subprocess.run(command, input=PROLOGUE % body, capture_output=True, text=True)
    if not texts:
        return None if done.returncode == 0 else "'%s' does not compile:\n%s" % (name, done.stderr)
    if done.returncode == 0:
        return "'%s' compiles: %s" % (name, body)
    missing = [t for t in texts if t not in done.stderr]
    return "'%s' fails without saying %s:\n%s" % (name, missing, done.stderr) if missing else None


def main():
    include, compiler = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        # Precompiled once, the header costs each case little.
        header = os.path.join(folder, "all.h")
        with open(header, "w") as f:
            f.write("#include <twofold/twofold.h>\n")
        precompiled = header + (".pch" if "clang" in compiler[-1] else ".gch")
        subprocess.run([*compiler, *FLAGS, "-I" + include, "-x", "c++-header", header, "-o", precompiled], check=True)
        trials = [pool.submit(trial, compiler, folder, name, *case) for name, case in CASES.items()]
        failures = [f.result() for f in trials if f.result()]
    for failure in failures:
        print(failure)
    print("%d passed, %d failed" % (len(trials) - len(failures), len(failures)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
