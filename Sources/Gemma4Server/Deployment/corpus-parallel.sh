#!/bin/sh
# A corpus on machines that ssh reaches, with GNU parallel; all of them see this folder, and have gemma4 on the PATH:
#   ./corpus-parallel.sh hosts 64 transcribe --model E2B-q4_0.gguf --manifest list.jsonl -o results
# `hosts` names a machine in each line. A shard whose machine fails goes to another. Each shard's line of counts comes out.
set -eu
hosts=$1
shards=$2
shift 2
seq "$shards" | exec parallel --sshloginfile "$hosts" --jobs 1 --workdir "$PWD" --retries 3 --joblog corpus.joblog \
    --termseq TERM,60000,KILL,25 --quote gemma4 "$@" --shard "{}/$shards" --resume
