#!/bin/sh
# Firmware for a board: firmware.sh BOARD, into dist/firmware/BOARD. Rebuilds what has changed.
# boards/BOARD/board.toml (or SESSTAB_BOARDS/BOARD) names the MicroPython port; firmware/PORT.sh beside this builds it.
# Further arguments go to the port's build: SESSTAB_TLS13=0, SESSTAB_TICKETS=0.
. "$(dirname "$0")/common.sh"

[ $# -gt 0 ] || fail "which board? make firmware BOARD=... ; sesstab boards --known lists them"
description=$("$root/.venv/bin/python" -m sesstab_tools.boards "$1") || exit 1
shift
eval "$description" # board, folder, port, micropython_board, user_module

objects=$build/firmware/$board
dist=$root/dist/firmware/$board
log=$build/firmware-$board.log
jobs=${JOBS:-2}

run() {
    if ! "$@" >>"$log" 2>&1; then
        grep -E 'error|Error' "$log" | head -n 20 >&2
        fail "the build failed; $log has all of it"
    fi
}

# Puts a file that was built into dist/, unless it is there already.
deliver() {
    cmp -s "$1" "$dist/$2" && return
    mkdir -p "$dist"
    cp "$1" "$dist/$2.new"
    mv "$dist/$2.new" "$dist/$2"
    say "built ${dist#"$root/"}/$2"
}

# MicroPython's own build sees changed sources, but not changed flags: for these, clean_build TEXT FILE... starts anew when
# TEXT or what the files hold is not what it was at the last build, and then says MESSAGE. built notes it.
clean_build() {
    message=$1
    shift
    flags=$(printf '%s\n' "$1" && shift && cat "$@" | cksum)
    if [ "$(cat "$objects/sesstab-flags" 2>/dev/null)" != "$flags" ]; then
        rm -rf "$objects"
        mkdir -p "$objects"
        say "$message"
    fi
}
built() { printf '%s\n' "$flags" >"$objects/sesstab-flags"; }

micropython_source() {
    "$root/tools/setup/sources.sh" micropython mbedtls
    micropython=$(cd "$build/src/micropython" && pwd -P)
    # Without these, MicroPython takes its version from the git repository around it, which is ours.
    MICROPY_GIT_TAG=v$(version MAJOR).$(version MINOR).$(version MICRO)
    MICROPY_GIT_HASH=$MICROPY_GIT_TAG
    export MICROPY_GIT_TAG MICROPY_GIT_HASH
    need cc gcc
    need make make
    run make -j"$jobs" -C "$micropython/mpy-cross"
}
version() { awk -v name="MICROPY_VERSION_$1" '$2 == name { print $3 }' "$micropython/py/mpconfig.h"; }

recipe=$root/tools/setup/firmware/$port.sh
[ -f "$recipe" ] || fail "$board: no way to build MicroPython's port $port is known here"
mkdir -p "$build"
: >"$log"
. "$recipe"
