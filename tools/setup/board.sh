#!/bin/sh
# All that it takes to run a board here: its emulator, if it has one, its firmware, and the native modules for it.
# board.sh BOARD..., or board.sh emulated for every board that has an emulator.
. "$(dirname "$0")/common.sh"

setup=$root/tools/setup

emulator() {
    case $1 in
        rp2040js) "$setup/rp2040js.sh" ;;
        qemu) "$setup/emulators.sh" ;;
        qemu-user) "$setup/qemu_xtensa.sh" ;;
    esac
}

[ $# -gt 0 ] || fail "which board? sesstab boards --known lists them"
if [ "$1" = emulated ]; then
    # shellcheck disable=SC2046
    set -- $(cd "$root/boards" && grep -l '^\[emulator\]' ./*/board.toml | cut -d/ -f2)
fi
modules=
for name in "$@"; do
    description=$("$root/.venv/bin/python" -m sesstab_tools.boards "$name") || exit 1
    eval "$description" # arch, emulator
    emulator "$emulator"
    modules="$modules $arch"
done
# shellcheck disable=SC2086
"$setup/natmod.sh" $(printf '%s\n' $modules | sort -u)
for name in "$@"; do "$setup/firmware.sh" "$name"; done
