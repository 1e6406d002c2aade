#!/bin/sh
# test-deb.sh FILE: installs a package in a new Debian, runs it, and removes it. Needs root and mmdebstrap.
set -eu
file=$1
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
root=$(mktemp -d)
trap 'umount "$root/debian/proc" 2>/dev/null; rm -rf --one-file-system "$root"' EXIT
mmdebstrap --quiet --variant=minbase "$release" "$root/debian"
cp "$file" "$root/debian/gemma4.deb"
mount -t proc proc "$root/debian/proc"  # where Swift looks for a program's arguments
inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$root/debian" "$@"; }
files() { (cd "$root/debian" && find etc usr/bin usr/lib/gemma4 usr/share -path '*gemma4*' 2>/dev/null | LC_ALL=C sort); }

inside apt-get update -qq
before=$(files)
inside apt-get install -y -qq --no-install-recommends /gemma4.deb > /dev/null
demo=/usr/share/gemma4/Models/Demo
[ "$(inside gemma4 --version)" = "$(dpkg-deb -f "$file" Version)" ]
inside gemma4 doctor "$demo" || [ $? = 1 ]  # advice is no failure here
inside gemma4 transcribe --model "$demo" "$demo/samples/clean-001.wav" | tee "$root/said"
grep -q "april kitchen thursday" "$root/said"
inside test -s /usr/share/man/man1/gemma4.1.gz -o -d /usr/share/gemma4  # minbase's dpkg may leave manuals out
for completions in bash-completion/completions/gemma4 zsh/vendor-completions/_gemma4 fish/vendor_completions.d/gemma4.fish; do
    inside test -s "/usr/share/$completions"
done
inside apt-get purge -y -qq gemma4 > /dev/null
[ "$(files)" = "$before" ] || { echo "left behind:"; files; exit 1; }
echo "installed, run and removed"
