#!/usr/bin/env bash
# Everything a build, a test or the demo needs, each step only when it is
# missing: Debian packages, the virtual environment, the native libraries, the
# Horovod wheel. Called by `make setup`.
set -euo pipefail
. tools/setup/steps.sh
echo "Setting up het_tf (cache: $CACHE_DIR)"
tools/setup/debian_packages.sh
if [ -z "${BASE_PYTHON:-}" ]; then
  echo "het_tf needs Python 3.11 or 3.12 on the PATH (or make BASE_PYTHON=/path/to/python)" >&2
  exit 1
fi
if [ ! -x "$VENV/bin/python" ]; then
  step "Python: virtual environment ($BASE_PYTHON)" "$BASE_PYTHON" -m venv --clear "$VENV"
fi
step "Python: TensorFlow and the other packages" \
  "$VENV/bin/python" -m pip install --disable-pip-version-check --progress-bar off -r "$REQUIREMENTS"
tools/setup/native_libraries.sh >/dev/null
wheel=$(tools/setup/horovod_wheel.sh "$VENV/bin/python" | tail -n 1)
step "Python: Horovod" "$VENV/bin/python" -m pip install --disable-pip-version-check --no-deps "$wheel"
