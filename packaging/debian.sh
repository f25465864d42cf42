#!/usr/bin/env bash
# Makes Debian packages of this tree: the library with its CPU kernels, libtwofold0.2_0.2.0_amd64.deb, and libtwofold-dev with
# headers and the files for pkg-config and CMake, and twofold, the command. Installs what is missing to build them, by apt-get, as root
# or by sudo.
#
# usage: packaging/debian.sh [FOLDER]      FOLDER: where the packages go, build-packages if none is given
# environment: DEBFULLNAME and DEBEMAIL, who is the packages' maintainer; TWOFOLD_BUILD_OPTIONS, for meson: "-Disas=v3"
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1-build-packages}

. tests/install.sh
install_missing "${packages_for_demos[@]}" dpkg-dev debhelper >&2

version=$(sed -n "s/^project('twofold'.* version: '\([^']*\)'.*/\1/p" meson.build)
IFS=. read -r major minor _ <<<"$version"
soversion=$major
[ "$major" -gt 0 ] || soversion=0.$minor  # as meson.build has it
maintainer="${DEBFULLNAME-twofold} <${DEBEMAIL-twofold@localhost}>"

# In a copy, so that this tree stays as it is.
mkdir -p "$folder"
folder=$(realpath "$folder")
tree=$folder/twofold-$version
rm -rf "$tree"
mkdir "$tree"
tar -cf - --exclude=./build --exclude='./build-*' --exclude=./.git --exclude=./.cache . | tar -xf - -C "$tree"
cp -r packaging/debian "$tree/debian"
cd "$tree/debian"
sed "s/@SOVERSION@/$soversion/; s/@MAINTAINER@/$maintainer/" control.in >control
rm control.in
mv library.install "libtwofold$soversion.install"
mv dev.install libtwofold-dev.install
mv command.install twofold.install
printf 'twofold (%s) unstable; urgency=medium\n\n  * CHANGELOG.md has the changes.\n\n -- %s  %s\n' \
  "$version" "$maintainer" "$(date -R)" >changelog

cd ..
# What is not the distribution's own, such as a meson from elsewhere, has been seen to above: -d.
if ! DEB_BUILD_OPTIONS="noautodbgsym ${DEB_BUILD_OPTIONS-}" dpkg-buildpackage -us -uc -b -d >"$folder/build.log" 2>&1; then
  tail -n 40 "$folder/build.log" >&2
  exit 1
fi
cd "$folder"
rm -rf "$tree" twofold_"$version"_*.buildinfo twofold_"$version"_*.changes
ls -- *"_${version}_"*.deb
