#!/usr/bin/env bash
# Builds the Horovod wheel for the given Python (with TensorFlow installed) and
# prints its path (last line). Horovod 0.28.1 builds with TensorFlow 2.21 when
# its xla_mpi_ops.cc is left out: without a GPU that file only includes XLA
# headers, which TensorFlow's wheel lacks. Built once per machine and kept in
# the cache, keyed by versions and flags.
#
# usage: horovod_wheel.sh PYTHON
set -euo pipefail
python=$(cd "$(dirname "$(command -v "$1")")" && pwd)/$(basename "$1")
cd "$(dirname "$0")"
. ./steps.sh

HOROVOD=0.28.1
JOBS=${JOBS:-2}
VERSIONS=$("$python" -c 'import importlib.metadata as m, sys
for name in ("tensorflow", "tensorflow-cpu"):
    try:
        print(name, m.version(name), sys.implementation.cache_tag)
        break
    except m.PackageNotFoundError:
        pass
else:
    sys.exit("TensorFlow is not installed in this environment")')
KEY=$(printf '%s\n' "$HOROVOD" "$VERSIONS" "$(g++ -dumpfullversion)" \
  "$(sha256sum <horovod_wheel.sh)" | sha256sum | cut -c1-16)
ENTRY=$CACHE_DIR/horovod-$KEY

compile() {
  local out=$1 work=$2
  cat >"$work/cmake" <<'CMAKE'
#!/usr/bin/env bash
for argument in "$@"; do
  lists="$argument/horovod/tensorflow/CMakeLists.txt"
  [ ! -f "$lists" ] || sed -i '/xla_mpi_ops\.cc/d' "$lists"
done
exec cmake "$@"
CMAKE
  chmod +x "$work/cmake"
  HOROVOD_CMAKE="$work/cmake" HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 \
    HOROVOD_WITHOUT_MXNET=1 HOROVOD_WITHOUT_MPI=1 HOROVOD_WITH_GLOO=1 \
    HOROVOD_CPU_OPERATIONS=GLOO MAKEFLAGS="-j$JOBS" \
    "$python" -m pip wheel --no-build-isolation --no-deps -w "$out" "horovod==$HOROVOD"
}

build_wheel() {
  local work
  work=$(mktemp -d)
  step "Horovod $HOROVOD: build the wheel (3 minutes)" compile "$1" "$work"
  rm -rf "$work"
}

build_entry "$ENTRY" build_wheel
ls "$ENTRY"/*.whl
