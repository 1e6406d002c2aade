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
    # A shell reads it, none runs it: no first line that names one.
    "$program" --generate-completion-script $shell | sed '1{/^#!/d}' > "$root/share/$file"
done

# swift-argument-parser's own tool writes the man pages from what the program says of its commands.
tools=.build/checkouts/swift-argument-parser
swift build --package-path $tools --scratch-path .build-tools --product generate-manual >&2
manuals=$root/share/man/man1
mkdir -p "$manuals"
.build-tools/debug/generate-manual "$program" --multi-page --output-directory "$manuals" >&2
# Named as `man gemma4 embed` and apropos look for them; without empty lines, which groff complains of; of no date but that of
# the source.
date=$(LC_ALL=C date -ud "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}" '+%B %-d, %Y')
for page in "$manuals"/*.1; do
    name=$(basename "$page" .1 | tr . -)
    sed -e "s/^\.Dd .*/.Dd $date/" -e 's/^$/.Pp/' \
        -e "0,/^\.Nm/s/^\.Nm.*/.Nm $name/" -e "s/^\.Nm\$/.Nm \"$(echo "$name" | sed 's/-/ /')\"/" "$page" > "$page.new"
    rm "$page"
    mv "$page.new" "$manuals/$name.1"
done
gzip -9nf "$manuals"/*.1
