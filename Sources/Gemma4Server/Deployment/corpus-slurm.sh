#!/bin/sh
# A corpus as an array of Slurm jobs, one a shard; all nodes see the same folders:
#   sbatch --array=1-64 corpus-slurm.sh 64 transcribe --model E2B-q4_0.gguf --manifest list.jsonl -o results
# A shard that is stopped, by its time limit or for a job that matters more, is queued again and does what is left.
# Submitting the same again does what failed. The counts of all: cat gemma4-*.json
#SBATCH --job-name=gemma4
#SBATCH --cpus-per-task=4
#SBATCH --mem=6G
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=gemma4-%A_%a.json
#SBATCH --error=gemma4-%A_%a.log

shards=$1
command=$2
shift 2
srun gemma4 "$command" "$@" --shard "$SLURM_ARRAY_TASK_ID/$shards" --resume --threads "$SLURM_CPUS_PER_TASK"
status=$?
# 75: stopped before its end.
[ $status -ne 75 ] || scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
exit $status
