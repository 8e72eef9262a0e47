#!/usr/bin/env bash
# need.sh COMMAND=PACKAGE...
# Sees to it that the commands are there: what is missing is installed from Debian's
# packages when this is root on a machine with apt, and named in the error otherwise.
set -euo pipefail
missing=() packages=()
for pair in "$@"; do
  command -v "${pair%%=*}" >/dev/null && continue
  missing+=("${pair%%=*}"); packages+=("${pair#*=}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "LocalStack on the host needs: ${missing[*]}" >&2
  echo "Install them (Debian: sudo apt-get install ${packages[*]}), or start a Docker engine," >&2
  echo "or set AWS_ENDPOINT_URL to a running LocalStack." >&2
  exit 1
fi
echo "installing ${packages[*]}" >&2
apt-get update -q >&2
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >&2
