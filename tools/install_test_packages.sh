#!/usr/bin/env bash
# Install the Debian packages named as arguments that are missing. Without root or apt it only says what is missing.
set -eu
missing=()
for package in "$@"; do
  dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
[[ ${#missing[@]} == 0 ]] && exit 0
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
  echo "missing, and tests that need them are left out: ${missing[*]}" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Services that packages would start are not wanted: tests start their own.
policy=/usr/sbin/policy-rc.d
[[ -e $policy ]] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; trap 'rm -f $policy' EXIT; }
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
