# Sourced by firmware.sh: MicroPython for RP2040 and RP2350, with TLS, which the port leaves out where there is no Wi-Fi.
micropython_source
"$root/tools/setup/sources.sh" tinyusb pico_sdk
"$root/tools/setup/arm_gcc.sh"
[ ! -d "$build/arm-gcc" ] || PATH=$build/arm-gcc/usr/bin:$PATH
need cmake cmake
need ninja ninja-build

port_folder=$micropython/ports/rp2
manifest=manifest_stock
[ -z "$user_module" ] || manifest=manifest
board_file=$port_folder/boards/$micropython_board/mpconfigboard.cmake
[ -f "$board_file" ] || fail "$board: MicroPython has no ports/rp2/boards/$micropython_board"
if grep -q 'MICROPY_PY_NETWORK_CYW43 ON' "$board_file"; then
    manifest=manifest_wifi
    for submodule in cyw43-driver lwip btstack micropython-lib; do
        [ -f "$micropython/lib/$submodule/README.md" ] || [ -f "$micropython/lib/$submodule/README" ] ||
            fail "$board needs MicroPython's lib/$submodule, which Debian does not have: set MICROPYTHON_DIR to a clone of MicroPython, after 'make -C ports/rp2 BOARD=$micropython_board submodules' in it"
    done
fi

# Nothing is frozen from micropython-lib where it is not there, but the port wants a README.md where that is.
library=$micropython/lib/micropython-lib
[ -f "$library/README.md" ] || library=$root

# The user C module, and its switches (SESSTAB_TLS13=1), as CMake takes them.
options=
[ -z "$user_module" ] || options=-DUSER_C_MODULES=$root/firmware/micropython.cmake
for switch in "$@"; do options="$options -D$switch"; done

clean_build "building MicroPython for $board (about two minutes)" \
    "$* $micropython $(cd "$build/src/pico-sdk" && pwd -P) $(arm-none-eabi-gcc -dumpfullversion)" \
    "$root/firmware/micropython.cmake" "$root/tools/setup/firmware/rp2.sh"
# shellcheck disable=SC2086
[ -f "$objects/build.ninja" ] || run cmake -S "$port_folder" -B "$objects" -G Ninja \
    -DMICROPY_BOARD="$micropython_board" -DMICROPY_DEF_BOARD=MICROPY_PY_SSL=1 -DMICROPY_LIB_DIR="$library" \
    -DMICROPY_FROZEN_MANIFEST="$root/firmware/rp2/$manifest.py" \
    -DPICO_SDK_PATH_OVERRIDE="$(cd "$build/src/pico-sdk" && pwd -P)" -DPICO_NO_PICOTOOL=1 $options
run ninja -j"$jobs" -C "$objects"
built
run "$root/.venv/bin/python" -m sesstab_tools.uf2 "$objects/firmware.bin" "$objects/firmware.uf2" \
    --address "$uf2_address" --family "$uf2_family"
deliver "$objects/firmware.elf" firmware.elf
deliver "$objects/firmware.bin" firmware.bin
deliver "$objects/firmware.uf2" firmware.uf2
