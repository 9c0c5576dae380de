#!/bin/sh
# The dynamic native module for architectures of MicroPython, into dist/natmod/: natmod.sh ARCH..., or natmod.sh all.
# Sets up the compiler that each wants, and rebuilds what has changed.
. "$(dirname "$0")/common.sh"

every="x64 armv6m armv7m armv7emsp rv32imc xtensawin"

# compiler ARCH: sets it up, and puts it on PATH.
compiler() {
    case $1 in
        x64) need cc gcc ;;
        armv6m | armv7m | armv7emsp) fetched arm_gcc.sh arm-gcc/usr/bin ;;
        rv32imc) fetched riscv_gcc.sh riscv-gcc/usr/bin ;;
        xtensawin) fetched xtensa_gcc.sh xtensa-gcc/bin ;;
        *) fail "unknown architecture $1; there are: $every" ;;
    esac
}

# fetched SCRIPT FOLDER: of what the script unpacked under build/, if it had to, FOLDER comes first on PATH.
fetched() {
    "$root/tools/setup/$1"
    [ ! -d "$build/$2" ] || PATH=$build/$2:$PATH
}

[ $# -gt 0 ] || fail "which architecture? natmod.sh all, or some of: $every"
# shellcheck disable=SC2086
[ "$1" != all ] || set -- $every
need make make
"$root/tools/setup/sources.sh" micropython
path=$PATH
for arch in "$@"; do
    compiler "$arch"
    make --no-print-directory -f "$root/firmware/module/natmod.mk" ARCH="$arch" \
        MPY_DIR="$build/src/micropython" PYTHON="$root/.venv/bin/python"
    PATH=$path
done
