# Sourced after common.sh. Packages of any Debian release, without installing anything into the system: an apt state of
# our own under build/apt/SUITE, with the mirror that this machine's apt uses and Debian's own keys.
#
#     private_apt trixie                                  # prepares the state, once
#     apt_in trixie source --download-only micropython    # apt-get in that state

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The mirror of this machine's own Debian release.
debian_mirror() {
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v release="$codename" '$1 == release { print $2; exit }'
}

# is_debian: whether packages of Debian can be had here at all.
is_debian() {
    command -v apt-get >/dev/null 2>&1 && [ -f $keyring ] && [ -n "$(debian_mirror)" ]
}

apt_in() {
    state=$build/apt/$1
    shift
    apt-get -qq \
        -o Dir::State="$state/state" -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache" \
        -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=- -o Acquire::Languages=none \
        -o APT::Sandbox::User="$(id -un)" "$@"
}

private_apt() {
    [ -f "$build/apt/$1/ready" ] && return
    mirror=$(debian_mirror)
    say "reading the package lists of Debian $1"
    mkdir -p "$build/apt/$1/state/lists/partial" "$build/apt/$1/cache/archives/partial"
    : >"$build/apt/$1/status"
    for kind in deb deb-src; do echo "$kind [signed-by=$keyring] $mirror $1 main"; done >"$build/apt/$1/sources.list"
    apt_in "$1" update || fail "could not read the package lists of Debian $1 from $mirror"
    touch "$build/apt/$1/ready"
}
