#!/usr/bin/env bash
# Installs what is missing, builds in release for this machine's GPU, measures with PyTorch and JAX beside it where the
# python3 in the path has them, and prints the tables. Every round's numbers go to build-gpu-bench/gpu.json.
#
# usage: tests/bench/gpu.sh [ARGUMENT...]     arguments go to gpu.py: --only article --rounds 5; see gpu.py --help
set -euo pipefail
cd "$(dirname "$0")/../.."

. tests/install.sh
install_missing

arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
if [ ! -f build-gpu-bench/build.ninja ]; then
  meson setup build-gpu-bench --buildtype=release -Dtests=false -Dcuda=enabled "-Dgpu_archs=$arch"
fi
ninja -C build-gpu-bench all tests/bench/gpu_add
exec python3 tests/bench/gpu.py build-gpu-bench -o build-gpu-bench/gpu.json "$@"
