#!/usr/bin/env bash
# Everything a build, a test or the demo needs, each step only when it is
# missing: Debian packages, the virtual environment, the native libraries, the
# Horovod wheel. Called by `make setup`, with BASE_PYTHON, VENV, REQUIREMENTS
# and STAMP, the file that says that all of it was done.
set -euo pipefail
# Two at a time would install into one environment: the second waits, and finds
# the work done. (The lock is on the checkout's folder; it ends with the process.)
exec 8<.
flock 8
[ ! -e "$STAMP" ] || exit 0
. tools/setup/steps.sh
echo "Setting up het_tf (cache: $CACHE_DIR)"
tools/setup/debian_packages.sh
if [ -z "${BASE_PYTHON:-}" ]; then
  echo "het_tf needs Python 3.11 or 3.12 on the PATH (or make BASE_PYTHON=/path/to/python)" >&2
  exit 1
fi
# One without pip is what an interrupted set-up left.
if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
  step "Python: virtual environment ($BASE_PYTHON)" "$BASE_PYTHON" -m venv --clear "$VENV"
fi
step "Python: TensorFlow and the other packages" \
  "$VENV/bin/python" -m pip install --disable-pip-version-check --progress-bar off -r "$REQUIREMENTS"
tools/setup/native_libraries.sh >/dev/null
wheel=$(tools/setup/horovod_wheel.sh "$VENV/bin/python" | tail -n 1)
step "Python: Horovod" "$VENV/bin/python" -m pip install --disable-pip-version-check --no-deps "$wheel"
touch "$STAMP"
