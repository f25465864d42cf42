#!/usr/bin/env bash
# Installs what is missing, builds, and runs the demos: the article's snippets, linear regression, a classifier of handwritten
# digits, and at last the article's net. All that is trained is timed in three columns.
#
# usage: demos/run.sh [OPTION...]     options go to the demo `myconv`; see build/demos/myconv --help
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
build/demos/linear
echo
echo "== Handwritten digits in three columns"
echo
build/demos/digits
echo
echo "== The article's net in three columns, on a GPU too where there is one"
echo
exec build/demos/myconv --device both "$@"
