#!/bin/sh
# QEMU's user-mode emulation of Xtensa: the one on PATH, or Debian's, unpacked as build/qemu-xtensa/qemu-xtensa-static.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/private_apt.sh"

program=qemu-xtensa-static
target=$build/qemu-xtensa
command -v $program >/dev/null 2>&1 && exit
[ -x "$target/$program" ] && exit
is_debian || fail "no $program: install QEMU's user-mode emulation (Debian and Ubuntu: sudo apt-get install qemu-user-static)"

private_apt bookworm
say "fetching QEMU's user-mode emulation of Xtensa (63 MB)"
mkdir -p "$build/download" "$target"
(cd "$build/download" && apt_in bookworm download qemu-user-static) || fail "could not fetch qemu-user-static"
dpkg-deb --fsys-tarfile "$(ls "$build/download"/qemu-user-static_*.deb | tail -n 1)" | tar -xO "./usr/bin/$program" >"$target/new"
chmod +x "$target/new"
mv "$target/new" "$target/$program"
