"""ddb-jars.py DIR: writes DynamoDBLocal.jar and the agent's jar into DIR.

DynamoDBLocal.jar is little more than a manifest. The class path in the Maven artifact's
own manifest names the files of the zip distribution, so `java -jar` on that one doesn't
find its libraries.
"""
import base64
import os
import sys
import zipfile

# public class NoopAgent {
#   public static void premain(String a, java.lang.instrument.Instrumentation i) {}
# }
# compiled with javac -g:none --release 17. LocalStack wants an agent in this place; the
# one it would download patches things that neither sdsaws nor its tests use.
NOOP_AGENT = base64.b64decode(
    "yv66vgAAAD0ADAoAAgADBwAEDAAFAAYBABBqYXZhL2xhbmcvT2JqZWN0AQAGPGluaXQ+AQADKClWBwAI"
    "AQAJTm9vcEFnZW50AQAEQ29kZQEAB3ByZW1haW4BADsoTGphdmEvbGFuZy9TdHJpbmc7TGphdmEvbGFu"
    "Zy9pbnN0cnVtZW50L0luc3RydW1lbnRhdGlvbjspVgAhAAcAAgAAAAAAAgABAAUABgABAAkAAAARAAEA"
    "AQAAAAUqtwABsQAAAAAACQAKAAsAAQAJAAAADQAAAAIAAAABsQAAAAAAAA=="
)


def manifest(*attributes):
    """A jar manifest; its lines may not be longer than 72 bytes."""
    text = "Manifest-Version: 1.0\r\n"
    for key, value in attributes:
        line = f"{key}: {value}"
        text += line[:70] + "\r\n"
        for i in range(70, len(line), 69):
            text += " " + line[i : i + 69] + "\r\n"
    return text + "\r\n"


def jar(path, main, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("META-INF/MANIFEST.MF", manifest(*main))
        for name, data in files.items():
            z.writestr(name, data)


out = sys.argv[1]
libs = sorted(f for f in os.listdir(f"{out}/DynamoDBLocal_lib") if f.endswith(".jar"))
# DynamoDB Local itself first, so that its classes win
libs.sort(key=lambda f: not f.startswith("DynamoDBLocal-"))
path = ["javassist.jar", "."] + ["DynamoDBLocal_lib/" + f for f in libs]
with open(f"{out}/log4j2.xml", "rb") as f:
    log4j = f.read()
jar(
    f"{out}/DynamoDBLocal.jar",
    [
        ("Main-Class", "com.amazonaws.services.dynamodbv2.local.main.ServerRunner"),
        ("Class-Path", " ".join(path)),
    ],
    {"log4j2.xml": log4j},
)
jar(
    f"{out}/ddb-local-loader-0.1.jar",
    [("Premain-Class", "NoopAgent")],
    {"NoopAgent.class": NOOP_AGENT},
)
