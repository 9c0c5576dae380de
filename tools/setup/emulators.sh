#!/bin/sh
# QEMU's emulators of whole boards, from the system's packages.
. "$(dirname "$0")/common.sh"
mkdir -p "$build"

need qemu-system-arm qemu-system-arm
need qemu-system-riscv32 qemu-system-misc
