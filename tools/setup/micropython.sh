#!/bin/sh
# MicroPython's source, for building the native module: build/src/micropython, from Debian's source package.
# MICROPYTHON_DIR names a source tree of one's own instead.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/private_apt.sh"

target=$build/src/micropython
if [ -n "${MICROPYTHON_DIR:-}" ]; then
    [ -f "$MICROPYTHON_DIR/py/dynruntime.h" ] || fail "MICROPYTHON_DIR=$MICROPYTHON_DIR is not a MicroPython source tree"
    mkdir -p "$build/src"
    ln -sfn "$(cd "$MICROPYTHON_DIR" && pwd)" "$target"
    exit
fi
[ -f "$target/py/dynruntime.h" ] && exit
is_debian || fail "the native module needs MicroPython's source: get it (1.24 or later), then set MICROPYTHON_DIR=<its folder>"

private_apt trixie
say "fetching MicroPython's source package"
mkdir -p "$build/download" "$build/src"
(cd "$build/download" && apt_in trixie source --download-only micropython)
archive=$(ls "$build"/download/micropython_*.orig.tar.* | tail -n 1)
say "unpacking $(basename "$archive")"
rm -rf "$target" "$target.new" && mkdir "$target.new"
"$root/.venv/bin/python" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$archive" "$target.new"
mv "$target.new"/* "$target"
rmdir "$target.new"
