# Sourced by firmware.sh: MicroPython's port for QEMU, with what firmware/qemu adds.
micropython_source
case $micropython_board in
    VIRT_RV32) compiler=riscv gcc=riscv64-unknown-elf-gcc ;;
    *) compiler=arm gcc=arm-none-eabi-gcc ;;
esac
"$root/tools/setup/${compiler}_gcc.sh"
[ ! -d "$build/$compiler-gcc" ] || PATH=$build/$compiler-gcc/usr/bin:$PATH

glue=$root/firmware/qemu
[ -f "$micropython/ports/qemu/boards/$micropython_board/mpconfigboard.mk" ] ||
    fail "$board: MicroPython has no ports/qemu/boards/$micropython_board"
[ -z "$user_module" ] || set -- USER_C_MODULES="$root/firmware" "$@"

clean_build "building MicroPython for $board (about 15 seconds)" "$* $micropython $($gcc -dumpfullversion)" \
    "$glue/mpconfigboard.mk" "$glue/qemu_config.h" "$glue/manifest.py" \
    "$root/firmware/qemu_xtensa/mbedtls/mbedtls_config_port.h"
run make -j"$jobs" -C "$micropython/ports/qemu" BOARD="$micropython_board" BOARD_DIR="$glue" BUILD="$objects" "$@"
built
deliver "$objects/firmware.elf" firmware.elf
