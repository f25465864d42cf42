#!/usr/bin/env python3
"""Writes what follows from the op list of kernels/meson.build, so that the list is the only one.

usage: generate.py registry|header OUTPUT FOLDER...
       generate.py cpu|gpu OUTPUT DEPFILE FOLDER...
       generate.py text OUTPUT HEADER...
       generate.py abi OUTPUT DEPFILE
  registry  C++ that registers the ops of every folder
  cpu, gpu  C++ that gathers the kernels of every folder into the plugin's one table
  header    <twofold/ops.h>, which includes every folder's user functions
  text      C++ that holds headers of this folder as text, for kernels that are compiled at run time
  abi       C++ that gives the library the number that cpu and gpu write into a plugin's table
  DEPFILE is written, too: what OUTPUT depends on beside the list, for ninja.
"""
import glob
import hashlib
import os
import re
import sys

# What a plugin and the library must agree on: the layout of the table and of all that they hand each other, attributes of
# ops among it. It stands in these headers and in what they include. A plugin that was built from others is refused.
SHARED = ("lib/runtime/gpu_runtime.h", "lib/runtime/kernel.h", "kernels/*/*.h")
INCLUDE = re.compile(r"^\s*#\s*include <twofold/(.*)>", re.M)


def abi():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    contents, left = {}, [p for pattern in SHARED for p in glob.glob(pattern, root_dir=root)]
    while left:
        path = left.pop()
        if path in contents or not os.path.isfile(os.path.join(root, path)):  # what is generated follows from the rest
            continue
        with open(os.path.join(root, path), encoding="utf-8") as header:
            contents[path] = header.read()
        left += INCLUDE.findall(contents[path])
    total = hashlib.sha256()
    for path in sorted(contents):
        total.update(f"{path}\0{contents[path]}\0".encode())
    with open(depfile, "w") as f:
        f.write(f"{output}: {' '.join(os.path.join(root, path) for path in sorted(contents))}\n")
    return "0x" + total.hexdigest()[:16]


kind, output, *folders = sys.argv[1:]
if kind in ("abi", "cpu", "gpu"):
    depfile, *folders = folders
lines = ["// Generated from kernels/meson.build by kernels/generate.py.", ""]
if kind == "header":
    lines[1:] = ["#pragma once", ""] + [f"#include <twofold/kernels/{f}/{f}.h>" for f in folders]
elif kind == "text":
    lines += ["#include <twofold/kernels/cuda/nvrtc.h>", "", "namespace twofold::cuda {",
              "std::span<const EmbeddedHeader> embedded_headers() {", "  static constexpr EmbeddedHeader kHeaders[] = {"]
    for header in folders:
        with open(os.path.join(os.path.dirname(__file__), header)) as f:
            lines += [f'      {{"twofold/kernels/{header}", R"text(' + f.read() + ')text"},']
    lines += ["  };", "  return kHeaders;", "}", "}  // namespace twofold::cuda"]
elif kind == "abi":
    lines += ["#include <twofold/lib/runtime/plugin.h>", "", "namespace twofold {",
              f"uint64_t plugin_abi() {{ return {abi()}; }}", "}  // namespace twofold"]
elif kind == "registry":
    lines += ["namespace twofold {"] + [f"void register_{f}();" for f in folders]
    lines += ["__attribute__((constructor(101))) static void register_ops() {"]
    lines += [f"  register_{f}();" for f in folders] + ["}", "}  // namespace twofold"]
else:
    lines += ["#include <vector>", "", "#include <twofold/lib/runtime/kernel.h>", "", "namespace twofold {"]
    lines += [f"std::span<const KernelEntry> {kind}_kernels_{f}();" for f in folders]
    lines += [f"std::span<const TileEntry> {kind}_tiles();", "const char* plugin_isa();"]
    lines += ["const GpuRuntime* gpu_runtime();"] if kind == "gpu" else []
    lines += ["}  // namespace twofold", "",
              'extern "C" __attribute__((visibility("default"))) const twofold::PluginTable* twofold_plugin() {',
              "  using namespace twofold;",
              "  static const std::vector<KernelEntry> kernels = [] {", "    std::vector<KernelEntry> all;"]
    lines += [f"    for (const auto& k : {kind}_kernels_{f}()) all.push_back(k);" for f in folders]
    lines += ["    return all;", "  }();",
              f"  static const PluginTable table{{.abi = {abi()}, .isa = plugin_isa(), .kernels = kernels, "
              + f".tiles = {kind}_tiles()"
              + (", .gpu = gpu_runtime()" if kind == "gpu" else "") + "};",
              "  return &table;", "}"]
with open(output, "w") as f:
    f.write("\n".join(lines) + "\n")
