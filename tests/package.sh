#!/usr/bin/env bash
# Installs a build into a scratch prefix and builds a program outside the tree against it: by the README's one line, by its
# Meson snippet and by its CMake snippet. Each prints what the README says.
#
# usage: tests/package.sh SOURCE_ROOT BUILD_ROOT
set -euo pipefail
source=$1 build=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { echo "test cases: 1 | 1 failed"; echo "$*"; exit 1; }

DESTDIR="$scratch/root" meson install -C "$build" --no-rebuild --quiet
pkgconfig=$(dirname "$(find "$scratch/root" -name twofold.pc)")
export PKG_CONFIG_PATH="$pkgconfig"
headers=$(pkg-config --variable=includedir twofold)/twofold
[ -z "$(grep -rlE '#include <(Eigen|cuda|cudnn|cublas|unsupported|nlohmann)' "$headers")" ] || fail "a public header includes Eigen, CUDA or nlohmann-json"

# Block NUMBER of those of LANGUAGE in the README.
block() {
  python3 - "$source/README.md" "$1" "$2" <<'PYTHON'
import re, sys
path, language, number = sys.argv[1:]
print(re.findall(rf"^```{language}\n(.*?)^```$", open(path).read(), re.M | re.S)[int(number)], end="")
PYTHON
}

mkdir "$scratch/prog" && cd "$scratch/prog"
block cpp 0 > prog.cc
block meson 0 > meson.build
block cmake 0 > CMakeLists.txt
block text 0 > expected

line=$(grep -m1 '^    g++ prog.cc' "$source/README.md")
eval "$line"
[ "$(./prog)" = "$(cat expected)" ] || fail "built by g++ it prints: $(./prog 2>&1)"

meson setup with_meson >meson.log && meson compile -C with_meson >>meson.log || fail "$(cat meson.log)"
[ "$(with_meson/prog)" = "$(cat expected)" ] || fail "built by Meson it prints: $(with_meson/prog 2>&1)"

if command -v cmake >/dev/null; then  # tests/install.sh installs it
  { cmake -S . -B with_cmake && cmake --build with_cmake; } >cmake.log 2>&1 || fail "$(cat cmake.log)"
  [ "$(with_cmake/prog)" = "$(cat expected)" ] || fail "built by CMake it prints: $(with_cmake/prog 2>&1)"
fi
