#!/bin/sh
# Programs that only tests need, from the system's packages.
. "$(dirname "$0")/common.sh"
mkdir -p "$build"

need g++ g++
need curl curl
need gnutls-cli gnutls-bin
need nginx nginx-light
need chromium chromium
need fusermount3 fuse3
"$(dirname "$0")/esp32_image.sh"
