#!/usr/bin/env bash
# Installs what is missing, builds, runs every test, and ends with "N passed, N failed" and, after it, ", N skipped" if
# any were. Exits 0 if none failed.
#
# usage: tests/run.sh [--quick] [NAME...]
#   --quick   leaves out what takes longest: the Catch2 programs again under AddressSanitizer and UndefinedBehaviorSanitizer
#             with a minute of each libFuzzer target, built by clang, and those that use threads under ThreadSanitizer; in
#             build folders of their own; and the main ones in a bare Debian 13, as root, where debootstrap reaches a mirror
#   NAME      only these tests (see tests/meson.build), quick: no other programs are built
# environment: TWOFOLD_BUILD_OPTIONS, for meson: "-Disas=v3 -Db_pch=false"
set -euo pipefail
cd "$(dirname "$0")/.."

whole=true
names=()
for argument; do
  whole=false
  [ "$argument" = --quick ] || names+=("$argument")
done

. tests/install.sh
if $whole; then
  install_missing "${packages_for_tests[@]}" libclang-rt-19-dev
else
  install_missing "${packages_for_tests[@]}"
fi
# With these a compiler cache takes what is built with precompiled headers, and preprocesses nothing beside the compiler.
export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS-pch_defines,time_macros} CCACHE_DEPEND=${CCACHE_DEPEND-true}

# configure FOLDER OPTION...
configure() {
  local folder=$1
  shift
  if [ -f "$folder/build.ninja" ]; then
    meson configure "$folder" "$@"
  else
    meson setup "$folder" "$@"
  fi
}
# The tests' programs that a run of run_tests.py, BUILD=NAME,NAME... or BUILD@SUITE, needs.
programs_of() { python3 tests/run_tests.py --list "$1"; }

# shellcheck disable=SC2086  # a word for each option
configure build -Dtests=true -Dpkgconfig.relocatable=true ${TWOFOLD_BUILD_OPTIONS-}
runs=("build=$(IFS=,; echo "${names[*]-}")")
targets=()
if [ ${#names[@]} -gt 0 ]; then  # only programs: other tests may need any part of the build
  read -ra targets <<<"$(programs_of "${runs[0]}")"
  [ ${#targets[@]} -eq ${#names[@]} ] && targets+=(plugins) || targets=()
fi
ninja -C build ${targets[@]+"${targets[@]}"}

# One instruction set will do, and checks cost less at -O1.
sanitized=(-Disas=v3 -Dcuda=disabled -Ddemos=false -Dbenchmarks=disabled -Doptimization=1 -Db_lundef=false)
under_sanitizer() {  # SUITE SANITIZERS [OPTION...]: the suite's programs, built in build-SUITE
  configure "build-$1" "${sanitized[@]}" "-Db_sanitize=$2" "${@:3}"
  # shellcheck disable=SC2046  # a word for each program
  ninja -C "build-$1" kernels/twofold_cpu_v3.so $(programs_of "build-$1@$1")
  runs+=("build-$1@$1")
}
if $whole; then
  export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  # The end of a step holds the locks of all variables that it writes, more than the detector of deadlocks can follow: 64.
  export TSAN_OPTIONS=halt_on_error=1:detect_deadlocks=0
  under_sanitizer thread thread
  CXX="$(command -v ccache || true) clang++-19" under_sanitizer address address,undefined -Dfuzzers=true
  runs+=(build@debian)
fi

jobs=$(nproc)
exec python3 tests/run_tests.py --jobs $((jobs < 4 ? jobs : 4)) "${runs[@]}"
