#!/usr/bin/env bash
# Installs what is missing, builds in release, runs the CPU benchmarks with LibTorch and PyTorch beside them where they are
# installed, and prints the table. Every round's numbers go to build-bench/cpu.json.
#
# usage: tests/bench/cpu.sh [ARGUMENT...]     arguments go to compare.py: --rounds 9, --min-time 0.5
set -euo pipefail
cd "$(dirname "$0")/../.."

. tests/install.sh
install_missing libbenchmark-dev libtorch-dev python3-torch libopenblas0-pthread

if [ -f build-bench/build.ninja ]; then
  meson setup --reconfigure build-bench -Ddemos=true >/dev/null
else
  meson setup build-bench --buildtype=release -Dbenchmarks=enabled -Dtests=false
fi
ninja -C build-bench
lscpu | sed -n 's/^Model name: *//p;s/^CPU(s): */processors: /p'
exec python3 tests/bench/compare.py build-bench --json build-bench/cpu.json "$@"
