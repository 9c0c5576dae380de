#!/bin/sh
# What draws the plots of `make bench`, in .venv: matplotlib, which tests do not need.
. "$(dirname "$0")/common.sh"

python=$root/.venv/bin/python
"$root/tools/setup/venv.sh"
"$python" -c 'import matplotlib' 2>/dev/null && exit
say "installing matplotlib for the plots"
"$python" -m pip install --quiet --disable-pip-version-check -c "$root/tools/constraints.txt" -e "$root[bench]" \
    >"$build/pip.log" 2>&1 || fail "pip could not install matplotlib; see $build/pip.log"
