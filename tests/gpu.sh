#!/usr/bin/env bash
# Builds what the tests on a GPU need, runs them, and writes a log, which ends with "N passed, N failed" and is to be
# committed. A part that fails does not keep the others from running. Exits 0 if all parts have run, now or before on the
# same sources in the same build folder, and none failed.
#
# usage: tests/gpu.sh [-n] [-o LOG] [-b BUILD] [PART...]
#   -n     do not build: BUILD has been made on another machine, at the same path
#   LOG    tests/gpu.log
#   BUILD  build-gpu
#   PART   all if none is given:
#     ops        every op record, between guard bands
#     gpu        devices, memory, late errors, passes, captured graphs, threads, the ledger
#     models     the reference runs, random programs
#     memcheck   one case of every op record under compute-sanitizer
#     racecheck  the same for races in shared memory, of twofold's own kernels
# environment: TWOFOLD_GPU_ARCHS=90,100 to compile for (this machine's GPU), TWOFOLD_COMMIT where git cannot tell,
#   TWOFOLD_FUZZ_PROGRAMS=1000, COMPUTE_SANITIZER=compute-sanitizer
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

log=tests/gpu.log build=build-gpu builds=true
while getopts no:b: option; do
  case $option in
    n) builds=false ;;
    o) log=$OPTARG ;;
    b) build=$OPTARG ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
parts=("${@:-all}")
[ "${parts[0]}" = all ] && parts=(gpu ops models memcheck racecheck)
for part in "${parts[@]}"; do
  case $part in
    ops | gpu | models | memcheck | racecheck) ;;
    *) echo "there is no part '$part'" >&2 && exit 2 ;;
  esac
done

commit_of_tree() {
  local commit
  commit=$(git rev-parse HEAD 2>/dev/null) || commit=unknown
  [ "$commit" = unknown ] || git diff --quiet HEAD -- ':!tests/gpu.log' || commit+=' and changes'
  echo "$commit"
}
about_gpus() { nvidia-smi "--query-gpu=$1" --format=csv,noheader | sort -u | paste -sd ';'; }
if ! nvidia-smi >/dev/null 2>&1; then
  echo "nvidia-smi finds no GPU" >&2
  exit 1
fi
archs=${TWOFOLD_GPU_ARCHS:-$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | tr -d . | sort -nu | paste -sd ,)}
options=(-Dcuda=enabled "-Dgpu_archs=$archs" -Disas=v3 -Dtests=true -Ddemos=false -Dbenchmarks=disabled)
if ! $builds; then
  [ -d "$build" ]
elif [ -f "$build/build.ninja" ]; then
  meson configure "$build" "${options[@]}"
else
  meson setup "$build" "${options[@]}"
fi || exit 1
results=$build/gpu_log
mkdir -p "$results"
cudnn=$(printf '#include <cudnn_version.h>\nCUDNN_MAJOR.CUDNN_MINOR.CUDNN_PATCHLEVEL\n' |
        g++ -E -P -I"${CUDA_HOME:-/usr/local/cuda}/include" - 2>/dev/null | tail -1 | tr -d ' ')
cat >"$results/header" <<END
commit ${TWOFOLD_COMMIT:-$(commit_of_tree)}
date $(date -u +%Y-%m-%d)
GPUs $(nvidia-smi --list-gpus | wc -l): $(about_gpus name,compute_cap)
driver $(about_gpus driver_version)
CUDA $(nvcc --version 2>/dev/null | sed -n 's/.*release //p'), cuDNN ${cudnn:-unknown}
compiler $($builds && g++ --version | head -1 || readelf -p .comment "$build/libtwofold.so" | sed -n 's/.*\] *//p' | head -1)
END

sources=$(python3 tests/gpu_log.py hash)
export TWOFOLD_REQUIRE_GPU=1 TWOFOLD_FUZZ_PROGRAMS=${TWOFOLD_FUZZ_PROGRAMS:-1000}
sanitizer=${COMPUTE_SANITIZER:-$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)}

run() {  # [OPTION...] NAME,NAME...: these programs' cases for GPUs
  python3 tests/run_tests.py --cases 'gpu:*' "${@:1:$#-1}" "$build=${!#}"
}
under() {  # OPTION...: the ops' cases, few of them, under compute-sanitizer
  TWOFOLD_OPS_BRIEF=1 TWOFOLD_AUTOTUNE=0 run --under "$sanitizer --error-exitcode 9 --print-limit 20 $*" ops_test
}
run_part() {
  case $1 in
    ops) TWOFOLD_GPU_GUARD_BANDS=1 run ops_test ;;
    gpu) run gpu_test,passes_test ;;
    models)
      run reference_test
      TWOFOLD_GPU_GUARD_BANDS=1 run fuzz
      ;;
    memcheck) under --tool memcheck --leak-check no --report-api-errors no ;;
    racecheck) under --tool racecheck --kernel-name kns=twofold --kernel-name kns=fused ;;
  esac
  echo "== done"
}

programs=(kernels/twofold_cpu_v3.so kernels/twofold_cuda.so)
for part in "${parts[@]}"; do
  rm -f "$results/$part.out"
  case $part in
    gpu) programs+=(tests/gpu_test tests/passes_test) ;;
    models) programs+=(tests/reference_test tests/fuzz/fuzz) ;;
    *) programs+=(tests/ops_test) ;;
  esac
done
if ! $builds || ninja -C "$build" "${programs[@]}"; then
  # Side by side, but for what asks for all of the GPU's memory.
  for part in "${parts[@]}"; do
    [ "$part" != gpu ] || wait
    { echo "sources $sources" && run_part "$part"; } >"$results/$part.out" 2>&1 &
    [ "$part" != gpu ] || wait
  done
  wait
  for part in "${parts[@]}"; do cat "$results/$part.out"; done
fi

python3 tests/gpu_log.py write "$results" >"$log"
status=$?
cat "$log"
exit $status
