# Sourced by the setup scripts: where things go, how they speak, how they fail.
# Everything that is fetched or built lands under build/; running a script again does nothing that is done already.
set -eu
unset CDPATH # with it, cd prints where it went

root=$(cd "$(dirname "$0")/../.." && pwd -P)
build=$root/build

say() { printf '\033[1m%s\033[0m\n' "sesstab: $*" >&2; }
fail() { printf 'sesstab: %s\n' "$*" >&2; exit 1; }

case $root in
    *' '*) fail "the path $root has a space in it, which make cannot take: move the folder" ;;
esac

# One setup at a time, since apt and pip take no turns; the scripts that one calls have its lock. macOS has no flock.
if [ -z "${SESSTAB_LOCK:-}" ] && command -v flock >/dev/null 2>&1; then
    mkdir -p "$build"
    exec 9>"$build/lock"
    flock -n 9 || { say "waiting for another setup" && flock 9; }
    export SESSTAB_LOCK=held
fi

# install PACKAGE WHY: installs Debian's PACKAGE, or tells the user to.
install() {
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        say "installing $1 ($2)"
        apt-get install -y "$1" >"$build/apt.log" 2>&1 ||
            { apt-get update && apt-get install -y "$1"; } >"$build/apt.log" 2>&1 ||
            fail "apt-get could not install $1; see $build/apt.log"
    else
        fail "$2 is missing: install it (Debian and Ubuntu: sudo apt-get install $1) and run this again"
    fi
}

# need COMMAND PACKAGE: the command is there, or is installed from Debian's PACKAGE, or the user is told.
need() {
    command -v "$1" >/dev/null 2>&1 || install "$2" "$1"
}
