#!/bin/sh
# deb.sh PROGRAM OUT: a Debian package of this machine's release and architecture, in the folder OUT.
#
# Debian has no package of Swift 6: the libraries of Swift that the program needs are in /usr/lib/gemma4.
# Needs: dpkg-dev, patchelf, gzip.
set -eu
program=$1 out=$2
version=$("$program" --version)
architecture=$(dpkg --print-architecture)
root=$out/root
date=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
rm -rf "$root"
mkdir -p "$root/DEBIAN" "$out"
umask 022

Packaging/install.sh "$program" "$root" /usr

# Swift's own libraries, by what the program asks for; all else comes from other packages.
runtime=$(dirname "$(ldd "$program" | sed -n 's/.*libswiftCore.so => \([^ ]*\).*/\1/p')")
private=$root/usr/lib/gemma4
ldd "$program" | sed -n "s|.* => \($runtime/[^ ]*\) .*|\1|p" | while read -r library; do
    install -D -m 644 "$library" "$private/$(basename "$library")"
    # They look for each other: what a program's own path finds does not hold for the libraries of its libraries.
    patchelf --set-rpath /usr/lib/gemma4 "$private/$(basename "$library")"
done
patchelf --set-rpath /usr/lib/gemma4 "$root/usr/bin/gemma4"
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/gemma4" "$private"/*.so

documents=$root/usr/share/doc/gemma4
install -D -m 644 Packaging/copyright "$documents/copyright"
gzip -9nc > "$documents/changelog.gz" <<TEXT
gemma4 ($version) stable; urgency=medium

  * Version $version. See the history of the repository for what has changed.

 -- gemma4-swift maintainers <maintainers@gemma4-swift.example>  $(date -uRd "@$date")
TEXT
install -D -m 644 Packaging/lintian-overrides "$root/usr/share/lintian/overrides/gemma4"

# dpkg-shlibdeps wants a source package around it.
mkdir -p "$out/source/debian"
printf 'Source: gemma4\n\nPackage: gemma4\nArchitecture: any\n' > "$out/source/debian/control"
absolute=$(cd "$root" && pwd)
depends=$(cd "$out/source" && dpkg-shlibdeps -O --ignore-missing-info -l"$absolute/usr/lib/gemma4" \
    -e"$absolute/usr/bin/gemma4" $(find "$absolute/usr/lib/gemma4" -name '*.so' -printf ' -e%p') \
    | sed 's/^shlibs:Depends=//')
cat > "$root/DEBIAN/control" <<TEXT
Package: gemma4
Version: $version
Section: science
Priority: optional
Architecture: $architecture
Maintainer: gemma4-swift maintainers <maintainers@gemma4-swift.example>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends
Recommends: ffmpeg, libheif-examples
Homepage: https://ai.google.dev/gemma
Description: runtime of Google's Gemma 4 on CPUs
 Transcribes and translates speech, describes pictures and films, chats, calls
 tools, embeds, and answers HTTP as OpenAI's clients speak it, with the weights
 that Google publishes or GGUF files.
 .
 Weights are downloaded apart; a toy model is in /usr/share/gemma4/Models/Demo.
TEXT
(cd "$root" && find usr -type f -exec md5sum {} + | LC_ALL=C sort -k 2 > DEBIAN/md5sums)
find "$root" -newermt "@$date" -exec touch -hd "@$date" {} +
file=$out/gemma4_${version}_$architecture.deb
SOURCE_DATE_EPOCH=$date dpkg-deb --root-owner-group -Zxz -z2 --build "$root" "$file" >&2
echo "$file"
