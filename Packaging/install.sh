#!/bin/sh
# install.sh PROGRAM DESTDIR PREFIX: the files of an installation, under DESTDIR: program, models, man pages, shell completions.
set -eu
program=$1 destdir=$2 prefix=$3
root=$destdir$prefix

install -D -m 755 "$program" "$root/bin/gemma4"

(cd Models && find . -path ./Demo/train -prune -o -type f -print) | while read -r file; do
    install -D -m 644 "Models/$file" "$root/share/gemma4/Models/$file"
done

for shell in bash zsh fish; do
    case $shell in
        bash) file=bash-completion/completions/gemma4 ;;
        zsh) file=zsh/vendor-completions/_gemma4 ;;
        fish) file=fish/vendor_completions.d/gemma4.fish ;;
    esac
    mkdir -p "$root/share/$(dirname "$file")"
    "$program" --generate-completion-script $shell > "$root/share/$file"
done

# swift-argument-parser's own tool writes the man pages from what the program says of its commands.
tools=.build/checkouts/swift-argument-parser
swift build --package-path $tools --scratch-path .build-tools --product generate-manual >&2
mkdir -p "$root/share/man/man1"
.build-tools/debug/generate-manual "$program" --multi-page --output-directory "$root/share/man/man1" >&2
gzip -9nf "$root"/share/man/man1/*.1
