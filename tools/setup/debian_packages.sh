#!/usr/bin/env bash
# Installs the Debian packages that are missing (as root), or names them.
#
# usage: debian_packages.sh [--name-missing-for build]
#   --name-missing-for   installs nothing: one line names what is missing for
#                        that purpose (see debian-packages.txt), and status 1
set -euo pipefail
cd "$(dirname "$0")"
. ./steps.sh

purpose=
[ "${1:-}" != --name-missing-for ] || purpose=$2
if ! command -v dpkg-query >/dev/null; then
  echo "het_tf is built on Debian 12 (its packages of gRPC and protobuf), and this is no Debian: install a het_tf wheel" >&2
  exit 1
fi

missing=()
while read -r package needed_for; do
  case $package in '' | '#'*) continue ;; esac
  [ -z "$purpose" ] || [ "$purpose" = "$needed_for" ] || continue
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
    missing+=("$package")
done <debian-packages.txt
[ ${#missing[@]} -gt 0 ] || exit 0

if [ -n "$purpose" ] || [ "$(id -u)" -ne 0 ]; then
  echo "Debian packages are missing; run as root: apt-get install ${missing[*]}" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
step "Debian: update the package lists" apt-get update -q
step "Debian: install ${#missing[@]} packages" \
  apt-get install -y -q --no-install-recommends "${missing[@]}"
