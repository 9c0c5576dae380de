#!/bin/sh
# Sources from Debian's source packages, unpacked under build/src. Arguments say which:
#     micropython   build/src/micropython; MICROPYTHON_DIR names a tree of one's own instead
#     mbedtls       into MicroPython's empty lib/mbedtls; what a tree of one's own has there is used
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/private_apt.sh"

micropython=$build/src/micropython

# fetch PACKAGE FOLDER: unpacks Debian's source package.
fetch() {
    private_apt trixie
    say "fetching the source package of $1"
    mkdir -p "$build/download" "$build/src"
    (cd "$build/download" && apt_in trixie source --download-only "$1")
    archive=$(ls "$build/download/$1"_*.orig.tar.* | tail -n 1)
    say "unpacking $(basename "$archive")"
    rm -rf "$2" "$build/src/new" && mkdir "$build/src/new"
    "$root/.venv/bin/python" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' \
        "$archive" "$build/src/new"
    mv "$build/src/new"/* "$2"
    rmdir "$build/src/new"
}

micropython() {
    if [ -n "${MICROPYTHON_DIR:-}" ]; then
        [ -f "$MICROPYTHON_DIR/py/dynruntime.h" ] || fail "MICROPYTHON_DIR=$MICROPYTHON_DIR is no MicroPython source tree"
        mkdir -p "$build/src"
        [ -L "$micropython" ] || rm -rf "$micropython"
        ln -sfn "$(cd "$MICROPYTHON_DIR" && pwd)" "$micropython"
    elif [ ! -f "$micropython/py/dynruntime.h" ]; then
        is_debian || fail "MicroPython's source is needed: get it (1.24 or later), then set MICROPYTHON_DIR=<its folder>"
        fetch micropython "$micropython"
    fi
}

mbedtls() {
    [ -f "$micropython/lib/mbedtls/include/mbedtls/ssl.h" ] && return
    [ -z "${MICROPYTHON_DIR:-}" ] || fail "$MICROPYTHON_DIR/lib/mbedtls is empty: git submodule update --init lib/mbedtls"
    fetch mbedtls "$micropython/lib/mbedtls"
}

for name in "$@"; do "$name"; done
