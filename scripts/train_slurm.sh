#!/bin/sh
# A job for Slurm: four workers with one GPU each on two machines. It has not been tried on a cluster: change it first.
#
#     sbatch scripts/train_slurm.sh --dataset photos --run-dir runs/photos-1
#
# The job saves and ends cleanly 90 seconds before its time is over. Submit it again to continue.
#SBATCH --job-name=cyclegan
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --gpus-per-task=1
#SBATCH --time=08:00:00
#SBATCH --signal=TERM@90
set -eu
exec srun python3 -m cyclegan train "$@" --workers slurm
