#!/bin/sh
# run.sh PROGRAM: the kernels, each against the scalar one, and answers of the demo model on emulated CPUs.
# run.sh valgrind: the kernels of this CPU under valgrind.
#
# Needs clang; qemu-user; for arm64 gcc-aarch64-linux-gnu (its C library).
#
# AVX-512 and VNNI are not in qemu. Intel's emulator has them (https://www.intel.com/software/sde):
#     sde64 -skx -- .build-cpus/kernels avx512        Skylake-X: no VNNI
#     sde64 -icl -- .build-cpus/kernels avx512vnni    Ice Lake
#     sde64 -adl -- .build-cpus/kernels avxvnni       Alder Lake: VNNI of 256 bits alone
set -eu
program=$1
out=.build-cpus
mkdir -p $out
failed=0
link=

compile() {  # compile FOLDER [OPTION]…: the driver and the kernels; nothing that is newer than its source again
    folder=$out/$1
    shift
    mkdir -p "$folder"
    for source in Tests/CPUs/kernels.c Sources/CKernels/*.c; do
        object=$folder/$(basename "$source" .c).o
        [ -z "$(find Sources/CKernels "$source" -newer "$object" 2>/dev/null | head -1)" ] && [ -e "$object" ] && continue
        clang "$@" -O2 -Wall -Wno-unused-parameter -ISources/CKernels/include -c "$source" -o "$object"
    done
    clang "$@" $link -fuse-ld=lld "$folder"/*.o -lm -o "$folder/kernels"
}

try() {  # try NAME COMMAND…
    name=$1
    shift
    printf '%s: ' "$name"
    "$@" 2>/dev/null || { echo "FAILED: $*"; failed=1; }
}

if [ "$program" = valgrind ]; then
    # Not linked statically: valgrind has to take the place of calloc. It knows no AVX-512, and shows a CPU without it.
    compile x86
    exec valgrind --error-exitcode=1 --leak-check=no $out/x86/kernels
fi

compile x86
try "this CPU" $out/x86/kernels
try "x86-64 without AVX2" qemu-x86_64 -cpu Nehalem $out/x86/kernels scalar
try "x86-64 with AVX2 alone" qemu-x86_64 -cpu Haswell $out/x86/kernels avx2

if command -v qemu-aarch64 aarch64-linux-gnu-gcc > /dev/null; then
    link=-static  # qemu finds no libraries of arm64 here
    compile arm64 --target=aarch64-linux-gnu
    try "arm64" qemu-aarch64 -cpu cortex-a53 $out/arm64/kernels neon
    try "arm64 with dot products" qemu-aarch64 -cpu neoverse-n1 $out/arm64/kernels neon-dotprod
    try "arm64 with i8mm" qemu-aarch64 -cpu max $out/arm64/kernels neon-i8mm
fi

answer() { "$@" "$program" generate --model Models/Demo --max-tokens 12 --temperature 0 "what is this?"; }
expected=$(answer env)
for cpu in Nehalem Haswell; do
    found=$(answer qemu-x86_64 -cpu $cpu 2>/dev/null || true)
    if [ "$found" = "$expected" ]; then echo "$cpu: the same answer"; else
        echo "$cpu: FAILED: $found; expected $expected"
        failed=1
    fi
done
exit $failed
