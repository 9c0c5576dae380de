#!/bin/sh
# A compiler for Xtensa with register windows, called xtensa-esp32-elf-gcc. For native modules Espressif's, where it is
# on PATH. Else, and always for `xtensa_gcc.sh dc233c` (QEMU's core, which firmware for QEMU needs), one put together
# under build/xtensa-gcc from Debian's packages; then build/xtensa-gcc/bin comes first on PATH.
#
# Debian's compiler is for the ESP8266. It generates windowed code when told to (-mabi=windowed); its assembler learns
# the instructions from a plugin (firmware/xtensa/plugin.c) with QEMU's description of the core; headers of the C library
# are picolibc's; GCC's own helpers are assembled from GCC's source.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/private_apt.sh"

target=$build/xtensa-gcc
sources=$root/firmware/xtensa
packages="gcc-xtensa-lx106 binutils-xtensa-lx106 picolibc-xtensa-lx106-elf"
tools="gcc as ld ar nm objcopy objdump ranlib readelf size strip"
helpers="mulsi3 divsi3 modsi3 udivsi3 umodsi3 umulsidi3 clz clzsi2 ctzsi2 ffssi2 ashldi3 ashrdi3 lshrdi3 bswapsi2 bswapdi2
    negsf2 addsubsf3 mulsf3 divsf3 cmpsf2 fixsfsi fixsfdi fixunssfsi fixunssfdi floatsisf floatunsisf floatdisf floatundisf
    negdf2 addsubdf3 muldf3 divdf3 cmpdf2 fixdfsi fixdfdi fixunsdfsi fixunsdfdi floatsidf floatunsidf floatdidf floatundidf
    truncdfsf2 extendsfdf2"

wanted=$(cat "$0" "$sources"/*.c | cksum)
[ "$(cat "$target/ready" 2>/dev/null)" = "$wanted" ] && exit
[ "${1:-}" = dc233c ] || ! command -v xtensa-esp32-elf-gcc >/dev/null 2>&1 || exit 0
is_debian || fail "no xtensa-esp32-elf-gcc: install ESP-IDF and run '. <esp-idf>/export.sh', then this again"
need cc gcc
need xz xz-utils

# member DEB ARCHIVE PATTERN...: unpacks files of a source archive that a package carries.
member() {
    deb=$1
    archive=$2
    shift 2
    dpkg-deb --fsys-tarfile "$(ls "$build/download/$deb"_*.deb | tail -n 1)" | tar -xO --wildcards "$archive" |
        tar -xJ -C "$target.new/src" --strip-components=1 --wildcards "$@"
}

private_apt bookworm
say "putting together a compiler for Xtensa with register windows (fetching 175 MB)"
rm -rf "$target.new" && mkdir -p "$build/download" "$target.new/bin" "$target.new/lib" "$target.new/src/qemu"
# shellcheck disable=SC2086
(cd "$build/download" && apt_in bookworm download $packages binutils-source gcc-12-source &&
    apt_in bookworm source --download-only qemu) || fail "could not fetch the packages of the compiler"
for package in $packages; do
    dpkg -x "$(ls "$build/download/$package"_*.deb | tail -n 1)" "$target.new"
done
member binutils-source './usr/src/binutils/binutils-*.tar.xz' '*/include/ansidecl.h' '*/include/xtensa-dynconfig.h'
member gcc-12-source './usr/src/gcc-12/gcc-12*.tar.xz' '*/libgcc/config/xtensa/*.S'
tar -xJf "$(ls "$build/download"/qemu_7.2*.orig.tar.xz | tail -n 1)" -C "$target.new/src" --strip-components=1 \
    --wildcards '*/include/hw/xtensa/xtensa-isa.h' '*/target/xtensa/xtensa-isa*.h' '*/target/xtensa/core-dc233c/*'

rm -rf "$target" && mv "$target.new" "$target"

run() { "$@" >>"$build/xtensa-gcc.log" 2>&1 || fail "the compiler could not be put together; see $build/xtensa-gcc.log"; }
: >"$build/xtensa-gcc.log"
core=$target/src/target/xtensa
: >"$target/src/qemu/osdep.h" # what QEMU includes everywhere, and nothing here needs
run cc -shared -fPIC -O1 -I"$core/core-dc233c" -I"$core" -I"$target/src" -I"$target/src/include" \
    "$sources/plugin.c" -o "$target/lib/dc233c.so"
for tool in $tools; do
    options=
    [ "$tool" != gcc ] || options="-mabi=windowed -B$target/lib -isystem $target/usr/lib/xtensa-lx106-elf/include"
    cat >"$target/bin/xtensa-esp32-elf-$tool" <<END
#!/bin/sh
XTENSA_GNU_CONFIG=$target/lib/dc233c.so exec $target/usr/bin/xtensa-lx106-elf-$tool $options "\$@"
END
    chmod +x "$target/bin/xtensa-esp32-elf-$tool"
done

# libgcc.a
gcc=$target/bin/xtensa-esp32-elf-gcc
objects=$target/src/o
mkdir "$objects"
cp "$core/core-dc233c/core-isa.h" "$target/src/xtensa-config.h"
for helper in $helpers; do
    run "$gcc" -I"$target/src" -DL_"$helper" -c "$target/src/libgcc/config/xtensa/lib1funcs.S" -o "$objects/$helper.o"
done
run "$gcc" -I"$target/src" -c "$target/src/libgcc/config/xtensa/lib2funcs.S" -o "$objects/window_spill.o"
run "$gcc" -std=gnu11 -O2 -Wall -c "$sources/int64.c" -o "$objects/int64.o"
run "$target/bin/xtensa-esp32-elf-ar" rcs "$target/lib/libgcc.a" "$objects"/*.o
printf '%s' "$wanted" >"$target/ready"
