#!/bin/sh
# The libraries whose session tables `make bench` compares ours with, under build/peers, nothing installed: Debian
# bookworm's packages of BearSSL, Mbed TLS 2.28 and OpenSSL; Mbed TLS 3.6 compiled from the source that MicroPython
# builds with; and wolfSSL compiled from Debian's source, since the package keeps 33 sessions of 37 KB. For bare boards
# BearSSL's source, too. Half a minute, once.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/private_apt.sh"

peers=$build/peers
bench=$root/tools/bench
is_debian || fail "the peers come from Debian's packages, and this is no Debian"
need valgrind valgrind

# package NAME PACKAGE...: unpacks Debian's packages into build/peers/NAME, as include/ and lib/.
package() {
    name=$1
    shift
    [ -d "$peers/$name" ] && return
    private_apt bookworm
    say "fetching $name, Debian's package"
    new=$peers/$name.new
    rm -rf "$new" && mkdir -p "$new/deb" "$new/lib"
    (cd "$new/deb" && apt_in bookworm download "$@") || fail "could not fetch $*"
    for file in "$new"/deb/*.deb; do
        dpkg -x "$file" "$new"
        dpkg-deb -f "$file" Version >"$new/version"
    done
    mv "$new/usr/include" "$new/include"
    mv "$new"/usr/lib/*-linux-gnu/*.a "$new/lib"
    for folder in "$new"/include/*-linux-gnu; do # configuration that differs between architectures
        [ ! -d "$folder" ] || cp -r "$folder"/. "$new/include"
    done
    rm -rf "$new/deb" "$new/usr"
    mv "$new" "$peers/$name"
}

# compile FOLDER FLAGS SOURCE...: objects into FOLDER, like the bench itself: -O2, nothing else.
compile() {
    folder=$1 flags=$2
    shift 2
    printf '%s\n' "$@" | xargs -P "${JOBS:-2}" -I{} sh -c \
        '"${CC:-cc}" -std=gnu99 -O2 '"$flags"' -c "{}" -o "'"$folder"'/$(basename "{}" .c).o"' \
        >"$folder/log" 2>&1 || fail "$(basename "$folder") did not compile; see $folder/log"
}

mbedtls() {
    [ -f "$peers/mbedtls-3.6/lib/libmbedtls.a" ] && return
    "$root/tools/setup/sources.sh" micropython mbedtls
    source=$build/src/micropython/lib/mbedtls new=$peers/mbedtls-3.6.new
    say "compiling Mbed TLS 3.6"
    rm -rf "$new" && mkdir -p "$new/lib" "$new/o"
    compile "$new/o" "-I$source/include -I$source/library" "$source"/library/*.c
    ar rcs "$new/lib/libmbedtls.a" "$new"/o/*.o
    ln -s "$source/include" "$new/include"
    sed -n 's/^#define MBEDTLS_VERSION_STRING  *"\(.*\)"/\1/p' "$source/include/mbedtls/build_info.h" >"$new/version"
    mv "$new" "$peers/mbedtls-3.6"
}

# The cache's size is a matter of one file, so that is compiled for each size.
wolfssl() {
    [ -f "$peers/wolfssl/lib/libwolfssl.a" ] && return
    private_apt bookworm
    new=$peers/wolfssl.new
    say "fetching wolfSSL's source from Debian and compiling it"
    rm -rf "$new" && mkdir -p "$new/lib" "$new/o" "$new/deb" "$new/include"
    (cd "$new/deb" && apt_in bookworm source --download-only wolfssl) || fail "could not fetch wolfSSL's source"
    tar -xf "$new"/deb/wolfssl_*.orig.tar.gz -C "$new/include" --strip-components=1
    sed -n 's/^Version: //p' "$new"/deb/*.dsc | head -n 1 >"$new/version"
    rm -rf "$new/deb"
    flags="-DWOLFSSL_USER_SETTINGS -I$bench/wolfssl -I$new/include"
    compile "$new/o" "$flags" "$new"/include/src/*.c "$new"/include/wolfcrypt/src/*.c
    for size in MEDIUM BIG HUGE; do
        mkdir "$new/$size"
        compile "$new/$size" "$flags -D${size}_SESSION_CACHE" "$new/include/src/ssl.c"
    done
    rm "$new/o/ssl.o"
    ar rcs "$new/lib/libwolfssl.a" "$new"/o/*.o
    mv "$new" "$peers/wolfssl"
}

bearssl_source() {
    [ -d "$peers/bearssl-source" ] && return
    private_apt bookworm
    say "fetching BearSSL's source from Debian"
    new=$peers/bearssl-source.new
    rm -rf "$new" && mkdir -p "$new/deb"
    (cd "$new/deb" && apt_in bookworm source --download-only bearssl) || fail "could not fetch BearSSL's source"
    tar -xf "$new"/deb/bearssl_*.orig.tar.* -C "$new" --strip-components=1
    rm -rf "$new/deb"
    mv "$new" "$peers/bearssl-source"
}

package bearssl libbearssl-dev
bearssl_source
package mbedtls-2.28 libmbedtls-dev
package openssl libssl-dev
mbedtls
wolfssl
