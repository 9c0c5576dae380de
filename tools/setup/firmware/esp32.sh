# Sourced by firmware.sh: MicroPython for the ESP32 family, the way Espressif and MicroPython describe. ESP-IDF cannot be
# had from package registries, so it has to be there.
[ -n "${IDF_PATH:-}" ] || fail "$board needs Espressif's ESP-IDF, 5.2 to 5.4: install it, run '. <esp-idf>/export.sh', then this again"
[ -f "$IDF_PATH/tools/cmake/project.cmake" ] || fail "IDF_PATH=$IDF_PATH holds no ESP-IDF; run '. <esp-idf>/export.sh'"
command -v idf.py >/dev/null 2>&1 || fail "idf.py is not on PATH: run '. $IDF_PATH/export.sh', then this again"

"$root/tools/setup/sources.sh" micropython
port_folder=$(cd "$build/src/micropython" && pwd -P)/ports/esp32
for submodule in berkeley-db-1.xx micropython-lib; do
    [ -n "$(ls "$port_folder/../../lib/$submodule" 2>/dev/null)" ] ||
        fail "MicroPython's lib/$submodule is empty: set MICROPYTHON_DIR to a clone of MicroPython, after 'make -C ports/esp32 submodules' in it"
done
micropython_source

clean_build "building MicroPython for $board with ESP-IDF (some minutes)" "$* $micropython $IDF_PATH" \
    "$root/firmware/esp32/mpconfigboard.cmake" "$root/firmware/esp32/sdkconfig.sesstab" "$root/firmware/micropython.cmake"
run make -C "$port_folder" BOARD="$micropython_board" BOARD_DIR="$root/firmware/esp32" BUILD="$objects/build" \
    USER_C_MODULES="$root/firmware/micropython.cmake" FROZEN_MANIFEST="$root/firmware/esp32/manifest.py" "$@"
built
deliver "$objects/build/firmware.bin" firmware.bin
