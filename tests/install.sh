# To be sourced: install_missing installs, with apt-get as root or by sudo, what a build with all tests needs and this
# machine lacks, and the packages named besides. Without either it says what is missing and lets the build try.

install_missing() {
  local package missing=()
  for package in g++ meson ninja-build pkg-config python3 libeigen3-dev libspdlog-dev libfmt-dev nlohmann-json3-dev \
                 libcli11-dev catch2 ccache cmake valgrind "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "not installed, and neither root nor sudo to do it: ${missing[*]}" >&2
      return
    fi
    as_root=(sudo)
  fi
  echo "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
