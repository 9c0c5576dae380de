# Sourced by firmware.sh: MicroPython for QEMU's user-mode emulation of Xtensa with register windows.
micropython_source
"$root/tools/setup/xtensa_gcc.sh" dc233c
PATH=$build/xtensa-gcc/bin:$PATH

source=$root/firmware/qemu_xtensa
clean_build "building MicroPython for $board (about a minute)" "$* $micropython $(cat "$build/xtensa-gcc/ready")" \
    "$source/Makefile" "$source/mpconfigport.h" "$source/manifest.py" "$source/mbedtls/mbedtls_config_port.h"
run make -j"$jobs" -C "$source" MPY_DIR="$micropython" BUILD="$objects" "$@"
built
deliver "$objects/firmware.elf" firmware.elf
