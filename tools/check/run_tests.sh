#!/usr/bin/env bash
# run_tests.sh NAME JOBS PROGRAM...: runs test programs, JOBS at a time, each in a
# process of its own and bounded in time. Prints a line for each and the log of one
# that failed; status 1 when one did. NAME is the build's, for the lines.
set -euo pipefail
name=$1 jobs=$2
shift 2

# Short stacks and a small quarantine make the sanitizer's allocations a third cheaper.
export ASAN_OPTIONS=malloc_context_size=3:quarantine_size_mb=8

one() {
  local name=$1 program=$2 started=$SECONDS log="$2.log" result=pass
  timeout 600 "$program" --gtest_brief=1 >"$log" 2>&1 || result=FAIL
  # One write for each test: others print too.
  local line="  $result  [$name] ${program##*/} ($((SECONDS - started)) s)"
  if [ "$result" = FAIL ]; then line="$(cat "$log")"$'\n'"$line"; fi
  printf '%s\n' "$line"
  [ "$result" = pass ]
}
export -f one

failed=0
printf '%s\0' "$@" | xargs -0 -P "$jobs" -I{} bash -c 'one "$0" "$1"' "$name" {} || failed=1
if [ "$failed" = 0 ]; then echo "C++ [$name]: all $# programs passed"; else echo "C++ [$name]: some of $# programs failed"; fi
exit "$failed"
