#!/usr/bin/env bash
# Runs a script of this tree in a bare Debian: debootstrap's smallest, with nothing of this machine but the sources, as a stranger
# has them. Ends as the script does. Where such a Debian cannot be made it says why on a line that begins "skipped:".
#
# usage: tests/debian.sh [-k] RELEASE COMMAND...     tests/debian.sh trixie tests/run.sh --quick
#   -k   keeps the folder, build-debian/RELEASE, in which the sources are /twofold; a kept one is used again
# environment: DEBIAN_MIRROR, where not debootstrap's own
set -euo pipefail
cd "$(dirname "$0")/.."

keeps=false
[ "$1" != -k ] || { keeps=true && shift; }
release=$1
shift
skip() { echo "skipped: debian: no bare Debian: $1"; exit; }

[ "$(id -u)" -eq 0 ] || skip "not root"
if ! command -v debootstrap >/dev/null; then
  . tests/install.sh
  install_missing debootstrap >&2
fi
unshare --mount true 2>/dev/null || skip "mount namespaces are not allowed here"

root=build-debian/$release
mkdir -p build-debian
if [ ! -e "$root/made" ]; then
  rm -rf "$root"
  if ! debootstrap --variant=minbase "$release" "$root" ${DEBIAN_MIRROR+"$DEBIAN_MIRROR"} >build-debian/debootstrap.log 2>&1; then
    tail -n 20 build-debian/debootstrap.log >&2
    grep -qE 'Failed getting release|Invalid Release|Connection|resolve' build-debian/debootstrap.log && skip "no mirror is reached"
    echo "debootstrap failed" >&2
    exit 1
  fi
  touch "$root/made"
fi
$keeps || trap 'rm -rf "$root"' EXIT

# The sources as they are, also where they are not committed, without what builds have left.
rm -rf "$root/twofold"
mkdir "$root/twofold"
# shellcheck disable=SC2016
git ls-files -z --cached --others --exclude-standard | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' sh |
  tar --null -T - -cf - | tar -xf - -C "$root/twofold"

# /proc and /dev in a mount namespace of its own: nothing is left mounted, whatever happens.
status=0
# shellcheck disable=SC2016
unshare --mount sh -c '
  root=$1 && shift
  mount --make-rprivate / && mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" &&
  exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM="${TERM-dumb}" \
    chroot "$root" sh -c "cd /twofold && exec \"\$@\"" sh "$@"' sh "$root" "$@" || status=$?
exit "$status"
