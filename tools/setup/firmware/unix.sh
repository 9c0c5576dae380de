# Sourced by firmware.sh: MicroPython for unix, for this machine, with the board's folder as its variant.
micropython_source
clean_build "building MicroPython for unix with sesstab in it (about a minute)" \
    "$* $micropython $(cc -dumpfullversion)" "$folder/mpconfigvariant.mk" "$root/firmware/module/micropython.mk"
run make -j"$jobs" -C "$micropython/ports/unix" VARIANT_DIR="$folder" BUILD="$objects" \
    USER_C_MODULES="$root/firmware" "$@"
built
deliver "$objects/micropython" micropython
