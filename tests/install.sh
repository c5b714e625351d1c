#!/usr/bin/env bash
# Installs the package into an empty environment, without extras, and runs its main job there:
# a raw log, its preparation by Beam, a training, its export, a recommendation.
#
#   tests/install.sh DIRECTORY    (PYTHON=python3.12 for another interpreter)
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
directory=${1:?usage: tests/install.sh DIRECTORY}
mkdir -p "$directory"
cd "$directory"
"${PYTHON:-python3}" -m venv venv
# From a copy: building leaves files next to setup.py.
mkdir -p source
cp -r "$source"/{setup.py,pyproject.toml,README.md,LICENSE,hln_tf,beam_preprocess,tuning,serving} source/
venv/bin/python -m pip install --quiet --disable-pip-version-check ./source
venv/bin/python -c 'import importlib.util as u, sys; sys.exit(any(map(u.find_spec, ("matplotlib", "starlette"))))'
venv/bin/python -m hln_tf.train --dataset sample --preset demo --epochs 1 --embedding_dim 8 --hidden_dim 8
test -f runs/sample/hln/export/1/saved_model.pb
venv/bin/python -m hln_tf.recommend --workdir runs/sample/hln --session "214502411 214502421" -k 3
echo "installed, prepared, trained, exported and recommended in $directory"
