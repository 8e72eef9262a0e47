"""query.py: runs queries in DuckDB, on stdin as JSON, and prints their rows as JSON.

{"queries": ["SELECT 1"], "s3": {"endpoint": "127.0.0.1:4566", "ssl": false, "region": "...",
"key": "...", "secret": "..."}} gives [[[1]]]. Bytes are printed in hex. Without "s3" no
extension is loaded; none is ever downloaded.
"""
import json
import pathlib
import sys

import duckdb


def printable(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {k: printable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(v) for v in value]
    return value


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def open_s3(con, s3):
    import duckdb_extension_httpfs

    folder = pathlib.Path(duckdb_extension_httpfs.__file__).parent
    con.load_extension(str(next(folder.glob("extensions/*/httpfs.duckdb_extension"))))
    con.execute(
        f"""CREATE SECRET (
            TYPE s3, URL_STYLE 'path', USE_SSL {'true' if s3['ssl'] else 'false'},
            ENDPOINT {quoted(s3['endpoint'])}, REGION {quoted(s3['region'])},
            KEY_ID {quoted(s3['key'])}, SECRET {quoted(s3['secret'])})"""
    )


def main():
    request = json.load(sys.stdin)
    con = duckdb.connect(config={"autoinstall_known_extensions": False})
    if request.get("s3"):
        open_s3(con, request["s3"])
    json.dump([printable(con.execute(q).fetchall()) for q in request["queries"]], sys.stdout)


main()
