#!/bin/sh
# Mbed TLS for programs on this machine, under build/mbedtls, nothing installed. Arguments say which:
#     2.28   build/mbedtls/2.28, from Debian bookworm's packages
#     3.6    build/mbedtls/3.6, compiled from the source that MicroPython builds with, under sanitizers; about a minute
# Each has include/ and lib/*.a.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/private_apt.sh"

folder=$build/mbedtls

debian_package() {
    [ -f "$folder/2.28/lib/libmbedtls.a" ] && return
    is_debian || fail "Mbed TLS 2.28 comes from Debian's packages, and this is no Debian"
    private_apt bookworm
    say "fetching Mbed TLS 2.28, Debian's package"
    mkdir -p "$build/download"
    (cd "$build/download" && apt_in bookworm download libmbedtls-dev)
    rm -rf "$folder/2.28" "$folder/new" && mkdir -p "$folder/2.28/lib"
    dpkg -x "$(ls "$build"/download/libmbedtls-dev_2.28*.deb | tail -n 1)" "$folder/new"
    mv "$folder/new/usr/include" "$folder/2.28/include"
    mv "$folder/new"/usr/lib/*/*.a "$folder/2.28/lib"
    rm -rf "$folder/new"
}

from_source() {
    [ -f "$folder/3.6/lib/libmbedtls.a" ] && return
    "$root/tools/setup/sources.sh" micropython mbedtls
    source=$build/src/micropython/lib/mbedtls
    say "compiling Mbed TLS 3.6 with sanitizers, about a minute; log: $folder/3.6/log"
    rm -rf "$folder/3.6" && mkdir -p "$folder/3.6/lib" "$folder/3.6/o"
    ln -s "$source/include" "$folder/3.6/include"
    (cd "$source/library" && ls ./*.c) | xargs -P 2 -I{} sh -c '"$@"' - \
        "${CC:-cc}" -std=c99 -D_DEFAULT_SOURCE -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
        -I"$source/include" -I"$source/library" -c "$source/library/{}" -o "$folder/3.6/o/{}.o" \
        >"$folder/3.6/log" 2>&1 || fail "Mbed TLS did not compile; see $folder/3.6/log"
    ar rcs "$folder/3.6/lib/libmbedtls.a" "$folder"/3.6/o/*.o
}

for version in "$@"; do
    case $version in
        2.28) debian_package ;;
        3.6) from_source ;;
        *) fail "unknown Mbed TLS $version: 2.28 or 3.6" ;;
    esac
done
