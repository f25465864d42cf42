#!/usr/bin/env python3
"""Writes what follows from the op list of kernels/meson.build, so that the list is the only one.

usage: generate.py registry|cpu|gpu|header OUTPUT FOLDER...
       generate.py text OUTPUT HEADER...
  registry  C++ that registers the ops of every folder
  cpu, gpu  C++ that gathers the kernels of every folder into the plugin's one table
  header    <twofold/ops.h>, which includes every folder's user functions
  text      C++ that holds headers of this folder as text, for kernels that are compiled at run time
"""
import os
import sys

kind, output, *folders = sys.argv[1:]
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
elif kind == "registry":
    lines += ["namespace twofold {"] + [f"void register_{f}();" for f in folders]
    lines += ["void register_all_ops() {"] + [f"  register_{f}();" for f in folders] + ["}", "}  // namespace twofold"]
else:
    lines += ["#include <vector>", "", "#include <twofold/lib/op/kernel.h>", "", "namespace twofold {"]
    lines += [f"std::span<const KernelEntry> {kind}_kernels_{f}();" for f in folders]
    lines += [f"std::span<const TileEntry> {kind}_tiles();", "const char* plugin_isa();"]
    lines += ["const GpuRuntime* gpu_runtime();"] if kind == "gpu" else []
    lines += ["}  // namespace twofold", "",
              'extern "C" __attribute__((visibility("default"))) const twofold::PluginTable* twofold_plugin() {',
              "  using namespace twofold;",
              "  static const std::vector<KernelEntry> kernels = [] {", "    std::vector<KernelEntry> all;"]
    lines += [f"    for (const auto& k : {kind}_kernels_{f}()) all.push_back(k);" for f in folders]
    lines += ["    return all;", "  }();",
              f"  static const PluginTable table{{.isa = plugin_isa(), .kernels = kernels, .tiles = {kind}_tiles()"
              + (", .gpu = gpu_runtime()" if kind == "gpu" else "") + "};",
              "  return &table;", "}"]
with open(output, "w") as f:
    f.write("\n".join(lines) + "\n")
