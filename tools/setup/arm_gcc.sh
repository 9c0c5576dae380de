#!/bin/sh
# A compiler for Cortex-M, for the size report: the one on PATH, or Debian's package unpacked under build/arm-gcc.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/private_apt.sh"

target=$build/arm-gcc
command -v arm-none-eabi-gcc >/dev/null 2>&1 && exit
[ -x "$target/usr/bin/arm-none-eabi-gcc" ] && exit
is_debian || fail "arm-none-eabi-gcc is missing: install it (Debian and Ubuntu: sudo apt-get install gcc-arm-none-eabi)"

suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
private_apt "$suite"
say "fetching a compiler for Cortex-M (51 MB)"
mkdir -p "$build/download" "$target.new"
(cd "$build/download" && apt_in "$suite" download gcc-arm-none-eabi binutils-arm-none-eabi)
for package in "$build"/download/gcc-arm-none-eabi_*.deb "$build"/download/binutils-arm-none-eabi_*.deb; do
    dpkg -x "$package" "$target.new"
done
mv "$target.new" "$target"
