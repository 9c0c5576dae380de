#!/bin/sh
# The model checker CBMC, Debian trixie's, with the C library that it wants, in a root of its own: build/cbmc/bin/cbmc,
# and goto-cc and goto-instrument beside it, which prepare what it reads.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/private_apt.sh"

target=$build/cbmc
[ -x "$target/bin/goto-instrument" ] && exit
is_debian || fail "CBMC comes from Debian's packages, and this is no Debian"
need cc gcc # its preprocessor

private_apt trixie
say "fetching the model checker CBMC (26 MB)"
rm -rf "$target.new" && mkdir -p "$build/download/cbmc" "$target.new/bin"
(cd "$build/download/cbmc" && rm -f ./*.deb && apt_in trixie download cbmc minisat libc6 libstdc++6 libgcc-s1)
for package in "$build"/download/cbmc/*.deb; do dpkg -x "$package" "$target.new/root"; done
libraries=$(cd "$target.new/root/usr/lib" && ls -d ./*-linux-gnu)
loader=$(cd "$target.new/root/usr/lib/$libraries" && ls ld-linux*.so.* | head -n 1)
for program in cbmc goto-cc goto-instrument; do
    cat >"$target.new/bin/$program" <<END
#!/bin/sh
lib=$target/root/usr/lib/${libraries#./}
exec "\$lib/$loader" --library-path "\$lib:$target/root/usr/lib" $target/root/usr/bin/$program "\$@"
END
    chmod +x "$target.new/bin/$program"
done
rm -rf "$target"
mv "$target.new" "$target"
