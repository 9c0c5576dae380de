#!/bin/sh
# The host tools and what tests need, in .venv, at the versions of tools/constraints.txt.
. "$(dirname "$0")/common.sh"
mkdir -p "$build"

stamp=$root/.venv/ready
wanted=$(cat "$root/pyproject.toml" "$root/tools/constraints.txt" | cksum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit

python=${PYTHON:-python3}
need "$python" python3
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
    fail "$("$python" --version) is not one of Python 3.11 to 3.13: set PYTHON=<a python that is>"
"$python" -c 'import ensurepip, venv' 2>/dev/null || install python3-venv "Python's venv"
need openssl openssl
say "making .venv with the host tools and test libraries"
# One that was interrupted while it was made has no pip.
"$root/.venv/bin/pip" --version >/dev/null 2>&1 || "$python" -m venv --clear "$root/.venv"
"$root/.venv/bin/pip" install --quiet --disable-pip-version-check -c "$root/tools/constraints.txt" -e "$root[test]" >"$build/pip.log" 2>&1 ||
    fail "pip could not install the host tools; see $build/pip.log"
printf '%s' "$wanted" >"$stamp"
