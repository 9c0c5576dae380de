#!/bin/sh
# Programs that only tests need, from the system's packages.
. "$(dirname "$0")/common.sh"

need g++ g++
