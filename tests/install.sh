# shellcheck shell=bash
# To be sourced: install_missing PACKAGE... installs, with apt-get as root or by sudo, those that this machine lacks. Where that
# cannot be done it says what is missing and lets the build try. apt-get's output goes where the caller's does.

# What the library is built with.
# shellcheck disable=SC2034  # of those that source this
packages_for_library=(g++ meson ninja-build pkg-config python3 libeigen3-dev libspdlog-dev libfmt-dev nlohmann-json3-dev libzip-dev libprotobuf-dev
                      protobuf-compiler)
# And the demos.
# shellcheck disable=SC2034
packages_for_demos=("${packages_for_library[@]}" libcli11-dev)
# What a build with all tests, and the tests, need besides.
# shellcheck disable=SC2034
packages_for_tests=("${packages_for_demos[@]}" catch2 ccache clang-19 cmake make python3-numpy python3-venv valgrind)

# A tool may come from elsewhere, as meson and ninja do from PyPI: its command is what counts. Meson says if it is too old.
declare -A command_of=([g++]=g++ [meson]=meson [ninja-build]=ninja [pkg-config]=pkg-config [python3]=python3 [ccache]=ccache
                       [clang-19]=clang++-19 [cmake]=cmake [make]=make [valgrind]=valgrind)

missing_of() {  # PACKAGE...: those not installed
  local package
  for package; do
    [ -n "${command_of[$package]-}" ] && command -v "${command_of[$package]}" >/dev/null && continue
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
  done
}

install_missing() {
  local missing as_root=()
  mapfile -t missing < <(missing_of "$@")
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "not installed, and neither root nor sudo to do it: ${missing[*]}" >&2
      return
    fi
    as_root=(sudo)
  fi
  echo "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq || true  # what it has may do
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" ||
    echo "apt-get could not install ${missing[*]}" >&2
}
