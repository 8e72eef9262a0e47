#!/usr/bin/env bash
# dockerd-up.sh [up|down]
# A Docker engine in the background when none answers yet, from Debian's docker.io; for
# machines without an init system. Needs root.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
run=${DOCKERD_RUN:-/run/dockerd-up}; mkdir -p "$run"
if [ "${1:-up}" = down ]; then
  pid=$(cat "$run/pid" 2>/dev/null || true)
  rm -f "$run/pid"
  if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]; then
    kill "$pid"
    tail --pid="$pid" -f /dev/null
  fi
  exit 0
fi
docker version >/dev/null 2>&1 && exit 0
"$here/../scripts/need.sh" dockerd=docker.io docker=docker.io iptables=iptables
setsid dockerd >"$run/log" 2>&1 </dev/null &
echo $! >"$run/pid"
for _ in $(seq 150); do
  docker version >/dev/null 2>&1 && exit 0
  sleep 0.2
done
tail -20 "$run/log" >&2
exit 1
