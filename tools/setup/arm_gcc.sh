#!/bin/sh
# A compiler for Cortex-M with newlib: the one on PATH, if it is complete, or Debian's packages unpacked under
# build/arm-gcc (then build/arm-gcc/usr/bin comes first on PATH).
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/private_apt.sh"

target=$build/arm-gcc
packages="gcc-arm-none-eabi binutils-arm-none-eabi libnewlib-arm-none-eabi libnewlib-dev libstdc++-arm-none-eabi-dev"

# works GCC: whether it finds headers and libraries of C and C++, for the smallest core that we build for.
works() {
    command -v "$1" >/dev/null 2>&1 || return 1
    trial=$(mktemp -d)
    echo '#include <cstdlib>
int main() { return std::malloc(1) != nullptr; }' >"$trial/trial.cpp"
    status=0
    "$1" -mcpu=cortex-m0plus -mthumb --specs=nano.specs --specs=nosys.specs "$trial/trial.cpp" -o "$trial/trial" \
        >"$build/arm-gcc.log" 2>&1 || status=1
    rm -rf "$trial"
    return $status
}

mkdir -p "$build"
[ -f "$target/ready" ] && exit
works arm-none-eabi-g++ && exit
is_debian || fail "no complete arm-none-eabi-gcc; $build/arm-gcc.log tells what it lacks. Install it with newlib and C++ (Debian and Ubuntu: sudo apt-get install gcc-arm-none-eabi libstdc++-arm-none-eabi-newlib)"

suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
private_apt "$suite"
say "fetching a compiler for Cortex-M and its C library (98 MB)"
rm -rf "$target.new" && mkdir -p "$build/download" "$target.new"
# shellcheck disable=SC2086
(cd "$build/download" && apt_in "$suite" download $packages)
for package in $packages; do
    dpkg -x "$(ls "$build/download/$package"_*.deb | tail -n 1)" "$target.new"
done
# Debian's paths are absolute; these are where gcc looks, relative to itself.
ln -s newlib "$target.new/usr/lib/arm-none-eabi/lib"
ln -s ../../include/newlib "$target.new/usr/lib/arm-none-eabi/include"
sed -i "s| /usr/include/| $target/usr/include/|" "$target.new/usr/lib/arm-none-eabi/newlib/nano.specs"
# What is linked by g++ asks for C++'s library (313 MB), though nothing here uses it: empty, it will do.
for name in stdc++ stdc++_nano; do
    "$target.new/usr/bin/arm-none-eabi-ar" rc "$target.new/usr/lib/arm-none-eabi/newlib/lib$name.a"
done
rm -rf "$target" && mv "$target.new" "$target"
works "$target/usr/bin/arm-none-eabi-g++" || fail "the unpacked compiler does not work; see $build/arm-gcc.log"
touch "$target/ready"
