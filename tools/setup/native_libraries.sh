#!/usr/bin/env bash
# Builds position-independent, hidden abseil, protobuf, re2 and prometheus-cpp from
# Debian's own source packages, and prints the directory they are in (last line).
# Debian's static libraries of the first three are not position-independent and
# cannot go into the op library; its shared ones would meet TensorFlow's copies in
# one process. Of prometheus-cpp it has no static library. Built once per machine:
# the cache entry is keyed by the versions, the compiler and the flags.
set -euo pipefail
cd "$(dirname "$0")"
. ./steps.sh

FLAGS_C="-O2 -fPIC -fvisibility=hidden"
FLAGS="$FLAGS_C -fvisibility-inlines-hidden"
JOBS=${JOBS:-2}
version() { dpkg-query -W -f '${source:Package}=${source:Version}' "$1"; }
ABSL=$(version libabsl-dev)
PROTOBUF=$(version libprotobuf-dev)
RE2=$(version libre2-dev)
PROMETHEUS=$(version prometheus-cpp-dev)
CIVETWEB=$(version "$(dpkg-query -W -f '${Package}\n' 'libcivetweb1*' | head -n 1)")
KEY=$(printf '%s\n' "$ABSL" "$PROTOBUF" "$RE2" "$PROMETHEUS" "$CIVETWEB" "$FLAGS" "$(g++ -dumpfullversion)" \
  "$(sha256sum <native_libraries.sh)" | sha256sum | cut -c1-16)
ENTRY=$CACHE_DIR/native-$KEY

# Source packages come through apt with lists of its own, so that a machine
# without deb-src entries works and its configuration stays as it is.
fetch_sources() {
  local dir=$1 apt
  apt=$dir/apt
  mkdir -p "$apt/lists/partial" "$apt/sources.list.d" "$apt/cache/archives/partial"
  {
    cat /etc/apt/sources.list 2>/dev/null || true
    # deb822 files: one block per repository, written as one-line entries.
    for file in /etc/apt/sources.list.d/*.sources; do
      [ -f "$file" ] || continue
      awk 'BEGIN { RS = ""; FS = "\n" }
        { uris = suites = components = ""; debian = 0
          for (i = 1; i <= NF; i++) {
            if ($i ~ /^URIs:/) { uris = substr($i, 6); if ($i ~ /debian/) debian = 1 }
            if ($i ~ /^Suites:/) suites = substr($i, 8)
            if ($i ~ /^Components:/) components = substr($i, 12) }
          if (!debian) next
          n = split(uris, u, " "); m = split(suites, s, " ")
          for (a = 1; a <= n; a++) for (b = 1; b <= m; b++)
            print "deb " u[a] " " s[b] components }' "$file"
    done
  } | sed -nE 's/^deb(-src)? (\[[^]]*\] )?(.*debian.*)$/deb-src \3/p' | sort -u \
    >"$apt/sources.list"
  local options=(-o Dir::Etc::sourcelist="$apt/sources.list"
    -o Dir::Etc::sourceparts="$apt/sources.list.d"
    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache"
    -o APT::Sandbox::User=root -o APT::Get::List-Cleanup=0)
  apt-get "${options[@]}" update -q
  (cd "$dir" && apt-get "${options[@]}" source -q --download-only \
    "$ABSL" "$PROTOBUF" "$RE2" "$PROMETHEUS" "$CIVETWEB" &&
    for description in *.dsc; do
      dpkg-source --no-check -x "$description" "src-${description%%_*}"
    done)
}

build_absl() {
  # Debian's inline namespace, so that Debian's headers fit the library.
  cp /usr/include/absl/base/options.h "$1/src-abseil/absl/base/"
  cmake -S "$1/src-abseil" -B "$1/absl" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_CXX_FLAGS="$FLAGS" -DCMAKE_CXX_STANDARD=17 \
    -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DCMAKE_CXX_VISIBILITY_PRESET=hidden \
    -DCMAKE_INSTALL_PREFIX="$1/prefix" -DCMAKE_INSTALL_LIBDIR=lib
  make -C "$1/absl" -j"$JOBS" install
}

build_protobuf() {
  cmake -S "$1/src-protobuf" -B "$1/protobuf" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_CXX_FLAGS="$FLAGS" -DCMAKE_CXX_STANDARD=17 \
    -DCMAKE_POSITION_INDEPENDENT_CODE=ON -Dprotobuf_BUILD_TESTS=OFF \
    -Dprotobuf_BUILD_PROTOC_BINARIES=OFF -Dprotobuf_BUILD_SHARED_LIBS=OFF
  make -C "$1/protobuf" -j"$JOBS" libprotobuf
  cp "$1/protobuf/libprotobuf.a" "$1/prefix/lib/"
}

build_re2() {
  # Debian's re2 source lacks the character tables (they are generated); the
  # objects of Debian's library that hold them are data, fit for any use.
  (mkdir -p "$1/src-re2/objects" && cd "$1/src-re2/objects" &&
    ar x "$(g++ -print-file-name=libre2.a)" perl_groups.o unicode_groups.o unicode_casefold.o)
  (cd "$1/src-re2" &&
    printf '%s\n' re2/*.cc util/rune.cc util/strutil.cc | xargs -P "$JOBS" -I{} \
      sh -c 'g++ -std=c++17 '"$FLAGS"' -I. -c "$1" -o objects/$(basename "$1" .cc).o' _ {} &&
    ar rcs "$1/prefix/lib/libre2.a" objects/*.o)
}

# With the web server that it serves metrics by, which gets neither files nor
# scripts nor encryption to offer.
build_prometheus() {
  local prometheus=$1/src-prometheus-cpp civetweb=$1/src-civetweb objects=$1/prometheus
  local headers="-I$prometheus/core/include -I$prometheus/pull/include -I$prometheus/core/src -I$prometheus/pull/src -I$civetweb/include"
  mkdir -p "$objects"
  gcc $FLAGS_C -DNO_SSL -DNO_CGI -DNO_FILES -DNO_CACHING "-I$civetweb/include" \
    -c "$civetweb/src/civetweb.c" -o "$objects/civetweb.o"
  printf '%s\n' "$civetweb/src/CivetServer.cpp" "$prometheus"/{core,pull}/src/*.cc "$prometheus"/core/src/detail/*.cc |
    xargs -P "$JOBS" -I{} sh -c 'g++ -std=c++17 '"$FLAGS -DNO_SSL $headers"' -c "$1" -o '"$objects"'/$(basename "${1%.*}").o' _ {}
  ar rcs "$1/prefix/lib/libprometheus-cpp.a" "$objects"/*.o
}

build_native() {
  local out=$1 work
  work=$(mktemp -d)
  step "native: fetch the sources" fetch_sources "$work"
  step "native: abseil (position-independent, 2-4 minutes)" build_absl "$work"
  step "native: protobuf (2 minutes)" build_protobuf "$work"
  step "native: re2" build_re2 "$work"
  step "native: prometheus-cpp" build_prometheus "$work"
  mkdir -p "$out/lib"
  find "$work/prefix" -name '*.a' -exec cp {} "$out/lib/" \;
  rm -rf "$work"
}

build_entry "$ENTRY" build_native
echo "$ENTRY"
