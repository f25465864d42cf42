#!/usr/bin/env bash
# In a bare Debian, which it changes: makes the packages, takes away all that was installed for it, installs the packages, and
# builds the README's program by its one line and by its CMake snippet. So what they need and do not say is missed.
#
# usage: tests/debian.sh bookworm tests/debian_package.sh
set -euo pipefail
cd "$(dirname "$0")/.."
export DEBIAN_FRONTEND=noninteractive
fail() { echo "test cases: 1 | 1 failed"; echo "$*"; exit 1; }
installed() { dpkg-query -W -f '${binary:Package}\n' | sort; }
quietly() { "$@" >/tmp/said 2>&1 || fail "$*: $(tail -n 30 /tmp/said)"; }

before=$(installed)
# The other kernels are built alike, and how fast the packages are is not what is tried.
TWOFOLD_BUILD_OPTIONS="-Disas=v3 -Doptimization=1" packaging/debian.sh /tmp/packages
mkdir -p /tmp/prog
for block in cpp:prog.cc text:expected cmake:CMakeLists.txt; do
  python3 tests/readme_block.py README.md "${block%%:*}" 0 >"/tmp/prog/${block#*:}"
done
line=$(grep -m1 '^    g++ prog.cc' README.md)
cd /tmp/prog

mapfile -t added < <(comm -13 <(echo "$before") <(installed))
quietly apt-get purge -y "${added[@]}"
[ "$(installed)" = "$before" ] || fail "not as bare as before: $(comm -13 <(echo "$before") <(installed))"

# The library by itself is what a program that is built already needs.
quietly apt-get install -y --no-install-recommends /tmp/packages/libtwofold[0-9]*.deb
ldconfig -p | grep -q 'libtwofold\.so\.[0-9]' || fail "the loader does not know the library: $(ldconfig -p | grep twofold)"
for file in $(dpkg -L "$(dpkg-query -W -f '${Package}\n' 'libtwofold[0-9]*')" | grep '\.so'); do
  ! ldd "$file" | grep 'not found' || fail "$file lacks what the package should depend on"
done

quietly apt-get install -y --no-install-recommends /tmp/packages/twofold_*.deb
twofold devices | grep -q /cpu:0 || fail "twofold devices prints: $(twofold devices 2>&1)"
quietly apt-get purge -y twofold

quietly apt-get install -y --no-install-recommends /tmp/packages/libtwofold-dev_*.deb g++ pkg-config cmake make
eval "$line"
[ "$(./prog)" = "$(cat expected)" ] || fail "built by g++ it prints: $(./prog 2>&1)"
quietly cmake -S . -B with_cmake
quietly cmake --build with_cmake
[ "$(with_cmake/prog)" = "$(cat expected)" ] || fail "built by CMake it prints: $(with_cmake/prog 2>&1)"

# Without what builds programs, they still run; without the library's package, nothing of it is left.
quietly apt-get purge -y --auto-remove libtwofold-dev g++ pkg-config cmake make
[ "$(./prog)" = "$(cat expected)" ] || fail "without libtwofold-dev it prints: $(./prog 2>&1)"
quietly apt-get purge -y 'libtwofold[0-9]*'
left=$(find / -xdev -path /twofold -prune -o -path /tmp -prune -o -path /proc -prune -o -name '*twofold*' -print)
[ -z "$left" ] || fail "removed, the packages leave $left"
