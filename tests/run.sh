#!/usr/bin/env bash
# Installs what is missing, builds, runs every test, and ends with "N passed, N failed" and, after it, ", N skipped" if
# any were. Exits 0 if none failed.
#
# usage: tests/run.sh [--quick] [NAME...]
#   --quick   leaves out what takes longest: the Catch2 programs again under AddressSanitizer and UndefinedBehaviorSanitizer
#             with a minute of each libFuzzer target, built by clang, and those that use threads under ThreadSanitizer; in
#             build folders of their own
#   NAME      only these test programs (see tests/meson.build), quick
set -euo pipefail
cd "$(dirname "$0")/.."

sanitizers=true
names=()
for argument; do
  sanitizers=false
  [ "$argument" = --quick ] || names+=("$argument")
done

. tests/install.sh
if $sanitizers; then
  install_missing clang-19 libclang-rt-19-dev
else
  install_missing
fi

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

configure build -Dtests=true -Dpkgconfig.relocatable=true
ninja -C build
runs=("build=$(IFS=,; echo "${names[*]-}")")

# One instruction set will do, and checks cost less at -O1.
sanitized=(-Disas=v3 -Dcuda=disabled -Ddemos=false -Dbenchmarks=disabled -Doptimization=1 -Db_lundef=false)
under_sanitizer() {  # SUITE SANITIZERS [OPTION...]: the suite's programs, built in build-SUITE
  configure "build-$1" "${sanitized[@]}" "-Db_sanitize=$2" "${@:3}"
  # shellcheck disable=SC2046  # a word for each program
  ninja -C "build-$1" kernels/twofold_cpu_v3.so $(python3 tests/run_tests.py --list "build-$1@$1")
  runs+=("build-$1@$1")
}
if $sanitizers; then
  export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  export TSAN_OPTIONS=halt_on_error=1
  under_sanitizer thread thread
  CXX="$(command -v ccache || true) clang++-19" under_sanitizer address address,undefined -Dfuzzers=true
fi

jobs=$(nproc)
exec python3 tests/run_tests.py --jobs $((jobs < 4 ? jobs : 4)) "${runs[@]}"
