#!/usr/bin/env bash
# Prints the mirror that apt uses on this machine; the same one carries trixie.
set -euo pipefail
suite=$(. /etc/os-release; echo "${VERSION_CODENAME:-}")
mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Release: $suite" |
    head -1
}
m=$(mirror)
[ -n "$m" ] || { apt-get update -q >&2; m=$(mirror); }
[ -n "$m" ] || { echo "apt names no mirror for Debian $suite" >&2; exit 1; }
echo "$m"
