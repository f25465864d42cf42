#!/usr/bin/env bash
# Installs what is missing, builds, runs every test, and ends with "N passed, N failed" and, after it, ", N skipped" if
# any were. Exits 0 if none failed.
#
# usage: tests/run.sh [NAME...]     all test programs, or only those named (see tests/meson.build)
set -euo pipefail
cd "$(dirname "$0")/.."

. tests/install.sh
install_missing

if [ -f build/build.ninja ]; then meson setup --reconfigure build -Dtests=true -Dpkgconfig.relocatable=true >/dev/null; else meson setup build; fi
ninja -C build
exec python3 tests/run_tests.py build "$@"
