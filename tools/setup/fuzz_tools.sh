#!/bin/sh
# Compilers that fuzz: clang with libFuzzer, and with the argument `afl` AFL++ too. From the system's packages.
. "$(dirname "$0")/common.sh"
mkdir -p "$build"

need clang clang
[ -n "$(ls "$(clang -print-resource-dir)"/lib/*/libclang_rt.fuzzer[-_.]* 2>/dev/null)" ] ||
    install "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev" "clang's libFuzzer"
[ "${1:-}" = afl ] && need afl-fuzz afl++
exit 0
