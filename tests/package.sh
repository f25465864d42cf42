#!/usr/bin/env bash
# Installs a build, moves the prefix to another place, and builds a program outside the tree against it: by the README's one line,
# by its Meson snippet and by its CMake snippet. Each prints what the README says, and loads nothing of twofold from elsewhere.
#
# usage: tests/package.sh SOURCE_ROOT BUILD_ROOT
set -euo pipefail
source=$1 build=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { echo "test cases: 1 | 1 failed"; echo "$*"; exit 1; }

DESTDIR="$scratch/root" meson install -C "$build" --no-rebuild --quiet
unset TWOFOLD_PLUGINS LD_LIBRARY_PATH CMAKE_PREFIX_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$scratch/root" -name twofold.pc)")
export PKG_CONFIG_PATH
prefix=$scratch/elsewhere
mv "$(realpath "$(pkg-config --variable=prefix twofold)")" "$prefix"
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name twofold.pc)")
headers=$(pkg-config --variable=includedir twofold)/twofold
[ -z "$(grep -rlE '#include <(Eigen|cuda|cudnn|cublas|unsupported|nlohmann|google|zip|fmt|spdlog|CLI)' "$headers")" ] ||
  fail "a public header includes what libtwofold-dev does not depend on"

block() { python3 "$source/tests/readme_block.py" "$source/README.md" "$1" "$2"; }
mkdir "$scratch/prog" && cd "$scratch/prog"
block cpp 0 > prog.cc
block meson 0 > meson.build
block cmake 0 > CMakeLists.txt
block text 0 > expected

check() {  # PROGRAM: what it prints, and where it finds the library and its kernels
  [ "$($2)" = "$(cat expected)" ] || fail "built by $1 it prints: $($2 2>&1)"
  local loaded
  loaded=$(LD_DEBUG=libs "$2" 2>&1 | sed -n 's/.*calling init: \(.*twofold.*\)/\1/p')
  [ "$(wc -l <<<"$loaded")" -ge 2 ] || fail "built by $1 it loads the library or kernels unseen: $loaded"
  ! grep -qv "^$prefix/" <<<"$loaded" || fail "built by $1 it loads from elsewhere: $loaded"
}

line=$(grep -m1 '^    g++ prog.cc' "$source/README.md")
eval "$line"
check g++ ./prog

# The command finds the library in the moved prefix, and is not without its page and its completion.
if [ -x "$prefix/bin/twofold" ]; then
  "$prefix/bin/twofold" version | grep -q "$(pkg-config --modversion twofold)" || fail "twofold version says: $("$prefix/bin/twofold" version 2>&1)"
  for file in man/man1/twofold.1 bash-completion/completions/twofold zsh/site-functions/_twofold; do
    [ -s "$prefix/share/$file" ] || fail "share/$file is not installed"
  done
elif [ -x "$build/tools/twofold" ]; then
  fail "the command is not installed"
fi

meson setup with_meson >meson.log && meson compile -C with_meson >>meson.log || fail "$(cat meson.log)"
check Meson with_meson/prog

# configure FOLDER [WORD...]: the README's CMake snippet; WORDs go where it asks for no version.
configure() {
  mkdir -p "with_cmake/$1" && cp prog.cc "with_cmake/$1"
  sed "s/find_package(twofold REQUIRED)/find_package(twofold ${*:2} REQUIRED)/" CMakeLists.txt >"with_cmake/$1/CMakeLists.txt"
  cmake -S "with_cmake/$1" -B "with_cmake/$1/build" -DCMAKE_PREFIX_PATH="$prefix" >cmake.log 2>&1
}
if command -v cmake >/dev/null; then  # tests/install.sh installs it
  version=$(pkg-config --modversion twofold)
  IFS=. read -r major minor _ <<<"$version"
  export -n PKG_CONFIG_PATH
  { configure any && cmake --build with_cmake/any/build >>cmake.log 2>&1; } || fail "$(cat cmake.log)"
  check CMake with_cmake/any/build/prog
  for asked in "$version" "$version EXACT" "$major.$minor" "0.1...<$major.$((minor + 1))"; do
    configure good "$asked" || fail "twofold $version does not serve who asks for $asked: $(cat cmake.log)"
  done
  for asked in "$major.$((minor + 1))" "$major.$((minor - 1))" "$((major + 1))" "$version EXACT COMPONENTS more" "0.0...<$version"; do
    ! configure bad "$asked" || fail "twofold $version serves who asks for $asked"
    grep -q "$version\|no components, so none called more" cmake.log || fail "asked for $asked CMake says: $(cat cmake.log)"
  done
  rm "$prefix"/lib*/libtwofold.so."$version" "$prefix"/lib/*/libtwofold.so."$version" 2>/dev/null || true
  ! configure without || fail "CMake finds a library that is not there"
  grep -q "is not there" cmake.log || fail "without the library CMake says: $(cat cmake.log)"
fi
