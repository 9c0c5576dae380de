#!/bin/sh
# Firmware with sesstab compiled in: firmware.sh BOARD, into dist/firmware/BOARD. Rebuilds what has changed.
#     UNIX    MicroPython for unix, for this machine: boards/UNIX
# Further arguments go to MicroPython's make: SESSTAB_TLS13=0, SESSTAB_TICKETS=0.
. "$(dirname "$0")/common.sh"

board=${1:-UNIX}
[ $# -eq 0 ] || shift
[ "$board" = UNIX ] || fail "make firmware builds BOARD=UNIX only; docs/building.md has the lines for other boards"

"$root/tools/setup/sources.sh" micropython mbedtls
need cc gcc
need make make
micropython=$(cd "$build/src/micropython" && pwd -P)
objects=$build/firmware/$board
program=$root/dist/firmware/$board/micropython
log=$build/firmware-$board.log
jobs=${JOBS:-2}

# MicroPython's makefiles see changed sources, but not changed flags: these go with a clean build.
makefiles=$(cat "$root/boards/$board/mpconfigvariant.mk" "$root/firmware/module/micropython.mk" | cksum)
flags="$* $micropython $(cc -dumpfullversion) $makefiles"
if [ "$(cat "$objects/sesstab-flags" 2>/dev/null)" != "$flags" ]; then
    rm -rf "$objects"
    mkdir -p "$objects"
    say "building MicroPython for unix with sesstab in it (about a minute)"
fi

# Without these, MicroPython takes its version from the git repository around it, which is ours.
version() { awk -v name="MICROPY_VERSION_$1" '$2 == name { print $3 }' "$micropython/py/mpconfig.h"; }
MICROPY_GIT_TAG=v$(version MAJOR).$(version MINOR).$(version MICRO)
MICROPY_GIT_HASH=$MICROPY_GIT_TAG
export MICROPY_GIT_TAG MICROPY_GIT_HASH

run() {
    if ! "$@" >>"$log" 2>&1; then
        grep -E 'error|Error' "$log" | head -n 20 >&2
        fail "the build failed; $log has all of it"
    fi
}

: >"$log"
run make -j"$jobs" -C "$micropython/mpy-cross"
run make -j"$jobs" -C "$micropython/ports/unix" VARIANT_DIR="$root/boards/$board" BUILD="$objects" \
    USER_C_MODULES="$root/firmware" "$@"
printf '%s\n' "$flags" >"$objects/sesstab-flags"

cmp -s "$objects/micropython" "$program" && exit
mkdir -p "$(dirname "$program")"
cp "$objects/micropython" "$program.new"
mv "$program.new" "$program"
say "built ${program#"$root/"}"
