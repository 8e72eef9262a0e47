#!/usr/bin/env bash
# python.sh DIR
# Prints the path of a Python 3.13 or newer: the machine's own or, on Debian, trixie's,
# extracted (not installed) under DIR and bound to trixie's own libc so that it runs on
# an older release. LocalStack from 4.10 on says that 3.10 will do, but it uses syntax
# of 3.12 and evaluates annotations that only 3.13 accepts.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:?usage: python.sh DIR}
for p in python3.13 python3.14 python3; do
  if command -v $p >/dev/null &&
    $p -c 'import sys, venv; sys.exit(sys.version_info < (3, 13))' 2>/dev/null; then
    command -v $p
    exit 0
  fi
done
if [ ! -f "$dir/.stamp" ]; then
  if ! command -v apt-get >/dev/null; then
    echo "LocalStack on the host needs Python 3.13 or newer. Install it, or start a Docker" >&2
    echo "engine, or set AWS_ENDPOINT_URL to a running LocalStack." >&2
    exit 1
  fi
  "$here/need.sh" mmdebstrap=mmdebstrap patchelf=patchelf
  mirror=$("$here/debian-mirror.sh")
  rm -rf "$dir"; mkdir -p "$dir"
  echo "extracting Python 3.13 from Debian trixie" >&2
  mmdebstrap --quiet --variant=extract --include=python3.13 trixie "$dir" "$mirror" >&2
  libs=$dir/usr/lib/$(uname -m)-linux-gnu
  patchelf --set-interpreter "$(ls "$libs"/ld-linux-*.so.*)" --force-rpath \
    --set-rpath "$libs" "$dir/usr/bin/python3.13"
  "$dir/usr/bin/python3.13" -c 'import ssl, sqlite3, ctypes'
  touch "$dir/.stamp"
fi
echo "$dir/usr/bin/python3.13"
