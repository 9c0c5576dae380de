#!/bin/sh
# A compiler for 32-bit RISC-V with the headers of a C library: the one on PATH, if it is complete, or Debian's packages
# unpacked under build/riscv-gcc (then build/riscv-gcc/usr/bin comes first on PATH). What it compiles here brings its
# own functions; so newlib's headers do, which are the same for every processor, and no library is needed but libgcc.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/private_apt.sh"

target=$build/riscv-gcc
packages="gcc-riscv64-unknown-elf binutils-riscv64-unknown-elf libnewlib-dev"

# works GCC: whether it finds the headers, and libgcc for what we build.
works() {
    command -v "$1" >/dev/null 2>&1 || return 1
    trial=$(mktemp -d)
    printf '#include <stdlib.h>\n#include <string.h>\n#include <time.h>\nint f(int a, int b) { return a / b; }\n' >"$trial/trial.c"
    status=0
    "$1" -march=rv32imac -mabi=ilp32 -nostdlib -Wl,-e,f "$trial/trial.c" -o "$trial/trial" -lgcc \
        >"$build/riscv-gcc.log" 2>&1 || status=1
    rm -rf "$trial"
    return $status
}

mkdir -p "$build"
[ -f "$target/ready" ] && exit
works riscv64-unknown-elf-gcc && exit
is_debian || fail "no complete riscv64-unknown-elf-gcc; $build/riscv-gcc.log tells what it lacks. Install it with picolibc (Debian and Ubuntu: sudo apt-get install picolibc-riscv64-unknown-elf)"

suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
private_apt "$suite"
say "fetching a compiler for RISC-V (44 MB)"
rm -rf "$target.new" && mkdir -p "$build/download" "$target.new"
# shellcheck disable=SC2086
(cd "$build/download" && apt_in "$suite" download $packages) || fail "could not fetch the packages of the compiler"
for package in $packages; do
    dpkg -x "$(ls "$build/download/$package"_*.deb | tail -n 1)" "$target.new"
done
# Where gcc looks, relative to itself.
ln -s ../../include/newlib "$target.new/usr/lib/riscv64-unknown-elf/include"
rm -rf "$target" && mv "$target.new" "$target"
works "$target/usr/bin/riscv64-unknown-elf-gcc" || fail "the unpacked compiler does not work; see $build/riscv-gcc.log"
touch "$target/ready"
