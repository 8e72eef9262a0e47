#!/usr/bin/env bash
# ddb-libs.sh LIBDIR
# Fills LIBDIR/dynamodb-local/2, where LocalStack looks for DynamoDB Local, from its Maven
# artifact, with a launcher jar and a Java agent that does nothing. The libraries are
# checked against ddb-libs.sha256. Does nothing when it was done before.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lib=${1:?usage: ddb-libs.sh LIBDIR}
version=2.6.1
javassist=3.30.2-GA # what LocalStack 4.14.0 asks for
mkdir -p "$lib"; lib=$(cd "$lib" && pwd)
dst=$lib/dynamodb-local/2
stamp="$version/1"
[ "$(cat "$dst/.stamp" 2>/dev/null)" = "$stamp" ] && exit 0
"$here/need.sh" mvn=maven python3=python3

tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cat >"$tmp/pom.xml" <<POM
<project><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>ddb</artifactId><version>1</version>
<dependencies>
<dependency><groupId>com.amazonaws</groupId><artifactId>DynamoDBLocal</artifactId>
<version>$version</version></dependency>
<dependency><groupId>org.javassist</groupId><artifactId>javassist</artifactId>
<version>$javassist</version></dependency>
</dependencies></project>
POM
echo "fetching DynamoDB Local $version" >&2
mvn -q -B -f "$tmp/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
  -DoutputDirectory="$tmp/lib" >&2
# test libraries that it drags along
rm -f "$tmp"/lib/{mockito,objenesis,hamcrest}-*.jar
(cd "$tmp/lib" && sha256sum --quiet --strict -c "$here/ddb-libs.sha256") >&2 || {
  echo "the libraries of DynamoDB Local are not the ones in ddb-libs.sha256" >&2
  exit 1
}

out=$tmp/2; mkdir -p "$out/DynamoDBLocal_lib"
while read -r _ name; do cp "$tmp/lib/$name" "$out/DynamoDBLocal_lib/"; done \
  <"$here/ddb-libs.sha256"
mv "$out/DynamoDBLocal_lib/javassist-$javassist.jar" "$out/javassist.jar"
# sqlite4java looks for its native library with and without the version in its name
for so in "$out"/DynamoDBLocal_lib/libsqlite4java-linux-*.so; do
  cp "$so" "$(sed -E 's/-[0-9.]+\.so$/.so/' <<<"$so")"
done
cat >"$out/log4j2.xml" <<'XML'
<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN"><Appenders><Console name="Console" target="SYSTEM_OUT">
<PatternLayout pattern="%d{HH:mm:ss.SSS} [%t] %-5level %logger{36} - %msg%n"/>
</Console></Appenders>
<Loggers><Root level="WARN"><AppenderRef ref="Console"/></Root></Loggers></Configuration>
XML
python3 "$here/ddb-jars.py" "$out"
echo "$stamp" >"$out/.stamp"
mkdir -p "$lib/dynamodb-local"; rm -rf "$dst"; mv "$out" "$dst"
