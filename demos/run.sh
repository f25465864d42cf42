#!/usr/bin/env bash
# Installs what is missing, builds, and runs the demos: the article's snippets, then linear regression and a classifier of
# handwritten digits, each timed in three columns.
#
# usage: demos/run.sh [OPTION...]     options go to the demo `linear`; see demos/run.sh --help
set -euo pipefail
cd "$(dirname "$0")/.."

. tests/install.sh
install_missing

if [ -f build/build.ninja ]; then meson setup --reconfigure build -Ddemos=true >/dev/null; else meson setup build; fi
ninja -C build demo
build/demos/article
echo
echo "== Linear regression in three columns"
echo
build/demos/linear "$@"
case " $* " in *' --help '* | *' -h '*) exit ;; esac
echo
echo "== Handwritten digits in three columns"
echo
build/demos/digits
