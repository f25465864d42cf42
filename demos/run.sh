#!/usr/bin/env bash
usage() {
  cat <<'END'
usage: demos/run.sh [-h] [OPTION...]

Installs what is missing (by apt-get, as root or by sudo), builds, and runs the demos, each as soon as it is built: the article's
snippets, linear regression, a classifier of handwritten digits, and at last the article's net. All that is trained is timed in
three columns. Where nvidia-smi finds a GPU and there is a CUDA toolkit with cuDNN, the CUDA kernels are built before the last.

  -h, --help   this text
  OPTION...    for the last demo, `myconv`: demos/run.sh --net full; build-demos/demos/myconv --help lists them

What is built lies in build-demos, for this machine's instruction set only. What apt-get, meson and ninja say goes to
build-demos/run.log, and is shown where something fails.
END
}
case ${1-} in -h | --help) usage && exit ;; esac
set -euo pipefail
cd "$(dirname "$0")/.."

build="build-demos"
log=$build/run.log
mkdir -p "$build"
: >"$log"

# quietly TITLE COMMAND...: its output goes to the log, behind a line that says how far it has got and for how long it runs.
quietly() {
  local title=$1 from started=$SECONDS status=0 where
  shift
  from=$(($(wc -c <"$log") + 1))
  "$@" >>"$log" 2>&1 &
  local job=$!
  if [ -t 2 ]; then
    while kill -0 "$job" 2>/dev/null; do
      where=$(tail -c "+$from" "$log" | grep -o '^\[[0-9]*/[0-9]*\]' | tail -1 || true)
      printf '\r\033[K%s %s %d s' "$title" "$where" $((SECONDS - started)) >&2
      sleep 0.5
    done
  fi
  wait "$job" || status=$?
  [ ! -t 2 ] || printf '\r\033[K' >&2
  if [ "$status" -ne 0 ]; then
    tail -c "+$from" "$log" | tail -n 60 >&2
    echo "$title: failed; the whole output is in $log" >&2
    exit "$status"
  fi
  echo "$title: $((SECONDS - started)) s" >&2
}

. tests/install.sh
if [ -n "$(missing_of "${packages_for_demos[@]}")" ]; then
  quietly "installing packages" install_missing "${packages_for_demos[@]}"
  lacking=$(missing_of "${packages_for_demos[@]}" | paste -sd ' ')
  [ -z "$lacking" ] || echo "Not installed (why: $log): $lacking. The build is tried all the same." >&2
fi

isa() {
  local flags
  flags=" $(grep -m1 '^flags' /proc/cpuinfo) "
  has() { local f; for f; do [[ $flags == *" $f "* ]] || return 1; done; }
  if has avx512f avx512bw avx512cd avx512dq avx512vl; then echo v4; elif has avx2 fma bmi2; then echo v3; else echo v2; fi
}
options=(-Dtests=false -Dbenchmarks=disabled -Ddemos=true "-Disas=$(isa)")
about_gpu="" cuda_target=()
if nvidia-smi >/dev/null 2>&1; then
  [ ! -x /usr/local/cuda/bin/nvcc ] || PATH=$PATH:/usr/local/cuda/bin
  archs=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | tr -d . | sort -nu | paste -sd ,)
  options+=(-Dcuda=auto "-Dgpu_archs=$archs")
else
  about_gpu="There is no GPU here (nvidia-smi finds none): the demos run on the CPU."
  options+=(-Dcuda=disabled)
fi
if [ -f "$build/build.ninja" ]; then
  quietly "configuring" meson setup --reconfigure "$build" "${options[@]}"
else
  quietly "configuring" meson setup "$build" "${options[@]}"
fi
if [ -z "$about_gpu" ]; then
  if ninja -C "$build" -t query kernels/twofold_cuda.so >/dev/null 2>&1; then
    cuda_target=(kernels/twofold_cuda.so)
  else
    about_gpu="There is a GPU here, but its kernels cannot be built; the demos run on the CPU.$(
      sed -n 's/^ *\(CUDA kernels\|cuDNN\) *: */ \1: /p' "$build/meson-logs/meson-log.txt" | tail -2 | tr '\n' ';')"
  fi
fi
[ -z "$about_gpu" ] || echo "$about_gpu" >&2

built() { quietly "building $1" ninja -C "$build" "demos/$1" "${@:2}"; }
title() { printf '\n== %s\n\n' "$1"; }

built article "kernels/twofold_cpu_$(isa).so"
"$build/demos/article"
title "Linear regression in three columns"
built linear
"$build/demos/linear"
title "Handwritten digits in three columns"
built digits
"$build/demos/digits"
title "The article's net leaves its process: one trains and saves it, another, without its code, loads it and trains on"
built elsewhere_first demos/elsewhere
for net in article full; do
  files=("$build/elsewhere_$net.safetensors" "$build/elsewhere_$net.expected.safetensors")
  "$build/demos/elsewhere_first" --net "$net" --program "${files[0]}" --expected "${files[1]}"
  "$build/demos/elsewhere" "${files[@]}"
  rm -f "${files[@]}"
done
title "The article's net in three columns, on a GPU too where there is one"
built myconv ${cuda_target[@]+"${cuda_target[@]}"}
exec "$build/demos/myconv" --device both "$@"
