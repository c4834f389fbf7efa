#!/usr/bin/env bash
# Installs the Debian packages that are missing (as root), or names them.
set -euo pipefail
cd "$(dirname "$0")"
. ./steps.sh

missing=()
while read -r package; do
  case $package in '' | '#'*) continue ;; esac
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
    missing+=("$package")
done <debian-packages.txt
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "Debian packages are missing; run as root: apt-get install ${missing[*]}" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
step "Debian: update the package lists" apt-get update -q
step "Debian: install ${#missing[@]} packages" \
  apt-get install -y -q --no-install-recommends "${missing[@]}"
