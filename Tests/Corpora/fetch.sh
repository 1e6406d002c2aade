#!/bin/sh
# Unpacks the test pictures of Debian's source packages into FOLDER/sources.  Needs apt-get; changes nothing of the system's.
# Usage: fetch.sh FOLDER PACKAGE...
set -eu
folder=$(realpath -m "$1")
shift
mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/apt/sources" "$folder/sources"
cat > "$folder/apt/list.sources" <<LIST
Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
LIST
private_apt() {
    apt-get -o Dir::Etc::SourceList="$folder/apt/list.sources" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$folder/apt/lists" -o Dir::Cache="$folder/apt/cache" "$@"
}
private_apt update -qq
cd "$folder/apt/sources"
for package in "$@"; do
    # A server that lacks one package does not keep the others from being compared.
    private_apt source --download-only -qq "$package" || echo "left out, since it cannot be fetched: $package" >&2
done
for archive in *.orig*.tar.*; do
    case $archive in *.asc) continue ;; esac
    target=$folder/sources/${archive%%_*}
    mkdir -p "$target"
    # tar complains of each ending that no file of a package has, and goes on.
    tar -xf "$archive" -C "$target" --wildcards '*.png' '*.apng' '*.jpg' '*.jpeg' '*.webp' '*.gif' '*.bmp' '*.dib' '*.tif' \
        '*.tiff' '*.heic' '*.heif' '*.avif' 2> /dev/null || true
done
