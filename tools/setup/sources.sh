#!/bin/sh
# Sources from Debian's source packages, unpacked under build/src. Arguments say which:
#     micropython   build/src/micropython; MICROPYTHON_DIR names a tree of one's own instead
#     mbedtls       into MicroPython's empty lib/mbedtls; MBEDTLS_DIR names a tree of one's own instead
#     tinyusb       into MicroPython's empty lib/tinyusb
#     pico_sdk      build/src/pico-sdk; PICO_SDK_DIR names a tree of one's own instead
# What a MicroPython tree of one's own has in lib/ is used as it is.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/private_apt.sh"

micropython=$build/src/micropython

# fetch PACKAGE FOLDER: unpacks Debian's source package of that name.
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

# fetch_tree NAME FOLDER: unpacks usr/src/NAME of Debian's package NAME-source.
fetch_tree() {
    private_apt trixie
    say "fetching the sources of $1"
    rm -rf "$2" "$build/src/new" && mkdir -p "$build/download" "$build/src/new"
    (cd "$build/download" && apt_in trixie download "$1-source")
    dpkg -x "$(ls "$build/download/$1-source"_*.deb | tail -n 1)" "$build/src/new"
    mv "$build/src/new/usr/src/$1" "$2"
    rm -rf "$build/src/new"
}

micropython() {
    if [ -n "${MICROPYTHON_DIR:-}" ]; then
        [ -f "$MICROPYTHON_DIR/py/dynruntime.h" ] || fail "MICROPYTHON_DIR=$MICROPYTHON_DIR is no MicroPython source tree"
        use "$MICROPYTHON_DIR" "$micropython"
    elif [ ! -f "$micropython/py/dynruntime.h" ]; then
        is_debian || fail "MicroPython's source is needed: get it (1.24 or later), then set MICROPYTHON_DIR=<its folder>"
        fetch micropython "$micropython"
    fi
}

mbedtls() {
    if [ -n "${MBEDTLS_DIR:-}" ] && [ -z "${MICROPYTHON_DIR:-}" ]; then
        [ -f "$MBEDTLS_DIR/include/mbedtls/ssl.h" ] || fail "MBEDTLS_DIR=$MBEDTLS_DIR is no Mbed TLS source tree"
        use "$MBEDTLS_DIR" "$micropython/lib/mbedtls"
    else
        submodule mbedtls include/mbedtls/ssl.h fetch
    fi
}

tinyusb() { submodule tinyusb src/tusb.h fetch_tree; }

pico_sdk() {
    if [ -n "${PICO_SDK_DIR:-}" ]; then
        [ -f "$PICO_SDK_DIR/pico_sdk_init.cmake" ] || fail "PICO_SDK_DIR=$PICO_SDK_DIR is no pico-sdk source tree"
        use "$PICO_SDK_DIR" "$build/src/pico-sdk"
    elif [ ! -f "$build/src/pico-sdk/pico_sdk_init.cmake" ]; then
        is_debian || fail "the pico-sdk is needed: get it (2.1 or later), then set PICO_SDK_DIR=<its folder>"
        fetch_tree pico-sdk "$build/src/pico-sdk"
    fi
}

# submodule NAME FILE FETCH: MicroPython's lib/NAME, which has FILE.
submodule() {
    [ -f "$micropython/lib/$1/$2" ] && return
    [ -z "${MICROPYTHON_DIR:-}" ] || fail "$MICROPYTHON_DIR/lib/$1 is empty: git submodule update --init lib/$1"
    "$3" "$1" "$micropython/lib/$1"
}

# use TREE LINK: a tree of one's own, in place of what we fetched.
use() {
    [ -L "$2" ] || rm -rf "$2"
    mkdir -p "$(dirname "$2")"
    ln -sfn "$(cd "$1" && pwd)" "$2"
}

for name in "$@"; do "$name"; done
