#!/usr/bin/env bash
# Builds the source distribution and, from it, the wheel, and does with the wheel what a user does, in
# an empty environment outside of the checkout: without extras a raw log, its preparation by Beam, a
# training, its export, a recommendation; with the extra `serving` a server that answers a client.
#
#   PYTHON=.venv/bin/python tests/install.sh DIRECTORY    (PYTHON has build and twine)
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
directory=${1:?usage: tests/install.sh DIRECTORY}
python=$(realpath --no-symlinks "$(command -v "${PYTHON:-python3}")")
session="214502411 214502421"
mkdir -p "$directory/source"
cd "$directory"

# From a copy: building leaves files next to setup.py.
cp -r "$source"/{*.md,*.cff,*.in,*.lock,*.toml,LICENSE,setup.py} source/
cp -r "$source"/{hln_tf,beam_preprocess,tuning,serving} source/
"$python" -m build --no-isolation --outdir dist source >build.log || { cat build.log >&2; exit 1; }
"$python" -m twine check --strict dist/*
wheel=$(echo dist/*.whl)

"$python" -m venv venv
install() { venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }
install "$wheel"
venv/bin/python -c 'import importlib.util as u, sys; sys.exit(any(map(u.find_spec, ("matplotlib", "starlette"))))'
venv/bin/python -m hln_tf.train --dataset sample --preset demo --epochs 1 --embedding_dim 8 --hidden_dim 8
venv/bin/python -m hln_tf.recommend --workdir runs/sample/hln --session "$session" -k 3
venv/bin/python -m serving.export --workdir runs/sample/hln --output models/hln

# names_extra EXTRA MODULE ARGUMENTS: without an extra, a command's error names it.
names_extra() {
	if venv/bin/python -m "${@:2}" 2>error; then
		return 1
	fi
	grep --fixed-strings "pip install 'hln-tf[$1]'" error
}
names_extra plots hln_tf.visualize retention --workdir runs/sample/hln
names_extra serving serving.serve --model_base_path models/hln

install "$wheel[serving]"
read -r rest grpc < <("$python" -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in sockets))')
venv/bin/python -m serving.serve --model_base_path models/hln --rest_api_port "$rest" --port "$grpc" 2>serve.log &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
until grep --quiet --no-messages '"event":"serving"' serve.log; do
	kill -0 $server || { cat serve.log >&2; exit 1; }
	sleep 0.2
done
venv/bin/python -m serving.query --url "http://127.0.0.1:$rest/v1/models/hln" --session "$session" -k 3
venv/bin/python -m serving.query --url "grpc://127.0.0.1:$grpc/hln" --session "$session" -k 3
kill $server
wait $server
echo "installed, prepared, trained, exported, recommended and served in $directory"
