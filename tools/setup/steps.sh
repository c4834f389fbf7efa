# Sourced by the set-up scripts: progress, logs, and the cache outside the
# checkout. Every step is one line on the terminal and one log file.

CACHE_DIR=${HET_TF_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/het_tf}
LOG_DIR=${HET_TF_LOGS:-$CACHE_DIR/logs}
mkdir -p "$CACHE_DIR" "$LOG_DIR"

# step NAME COMMAND...: runs the command; its output goes to a log.
step() {
  local name=$1 log started status=0
  shift
  log="$LOG_DIR/$(echo "$name" | tr -cs 'A-Za-z0-9\n' '-').log"
  started=$(date +%s)
  printf "  %-58s" "$name ..." >&2
  # Not "|| status=$?": bash ignores `set -e` inside a function called that way.
  set +e
  (set -e; "$@") >"$log" 2>&1
  status=$?
  set -e
  if [ "$status" -eq 0 ]; then
    printf "done (%s s)\n" "$(($(date +%s) - started))" >&2
  else
    printf "FAILED\n\n" >&2
    tail -n 15 "$log" >&2
    printf '\nset-up stopped: "%s" failed with status %s; the whole log: %s\n' \
      "$name" "$status" "$log" >&2
    exit "$status"
  fi
}

# entry_is_whole DIR: true when the files of a cache entry are those that were
# built, no more and no less, byte by byte. The manifest is written last, so an
# entry without one is half-written.
entry_is_whole() {
  [ -s "$1/MANIFEST.sha256" ] &&
    (cd "$1" &&
      diff -q <(list_files) <(cut -c67- MANIFEST.sha256) >/dev/null &&
      sha256sum --quiet --status -c MANIFEST.sha256)
}

list_files() {
  find . -type f ! -name 'MANIFEST*' | LC_ALL=C sort
}

# build_entry DIR FUNCTION: makes sure the cache entry DIR is there and whole.
# FUNCTION gets an empty directory, fills it, and the entry appears at once by
# a rename. A lock lets two set-ups on one machine share the work; a broken
# entry is removed and built again. What an interrupted build left behind is
# removed: the holder of the lock is the only builder.
build_entry() {
  local entry=$1 build=$2 work
  mkdir -p "$(dirname "$entry")"
  exec 9>"$entry.lock"
  flock 9
  if ! entry_is_whole "$entry"; then
    [ ! -e "$entry" ] || echo "  (the cache entry $(basename "$entry") is broken: building it again)" >&2
    rm -rf "$entry" "$entry".building.*
    work=$(mktemp -d "$entry.building.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    mkdir "$work/entry" "$work/tmp"
    TMPDIR="$work/tmp" "$build" "$work/entry"
    (cd "$work/entry" && list_files | tr '\n' '\0' | xargs -0 sha256sum >MANIFEST.tmp &&
      mv MANIFEST.tmp MANIFEST.sha256)
    sync "$work/entry/MANIFEST.sha256"
    mv "$work/entry" "$entry"
    rm -rf "$work"
    trap - EXIT
  fi
  flock -u 9
  exec 9>&-
}
