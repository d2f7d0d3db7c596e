"""A made-up Google Cloud Storage on this machine, for TensorFlow's own client of gs://, none of which is replaced.

The client reaches it as it would reach the real one from behind a firewall: by a proxy (https_proxy), whose
certificate it is told to trust (CURL_CA_BUNDLE), and without credentials (NO_GCE_CHECK).
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import http.server
import json
import pathlib
import re
import ssl
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_HOSTS = ("www.googleapis.com", "storage.googleapis.com")


@dataclasses.dataclass(frozen=True)
class Storage:
    """What lies in all buckets, and what was asked, as files of a folder: the service is a process of its own.

    TensorFlow holds Python's lock in some of its calls, so that none of this process could answer them.
    """

    folder: pathlib.Path

    def put(self, name: str, content: bytes) -> None:
        """Puts an object, "bucket/name", in place."""
        self.path(name).write_bytes(content)

    def path(self, name: str) -> pathlib.Path:
        """Returns the file that holds an object."""
        return self.folder / urllib.parse.quote(name, safe="")

    def names(self, start: str) -> list[str]:
        """Returns the sorted names of the objects that begin so."""
        names = (urllib.parse.unquote(path.name) for path in self.folder.iterdir() if path.suffix != ".service")
        return sorted(name for name in names if name.startswith(start))

    def files(self, folder: str) -> dict[str, bytes]:
        """Returns what lies in a folder, "bucket/name", but for what stands for folders."""
        names = [name for name in self.names(f"{folder}/") if not name.endswith("/")]
        return {name.removeprefix(f"{folder}/"): self.path(name).read_bytes() for name in names}

    def empty(self) -> None:
        """Removes all objects, forgets what was asked, and refuses nothing."""
        for path in self.folder.iterdir():
            path.unlink()

    def refuse(self, pattern: str) -> None:
        """Lets requests, "METHOD path", that match be answered with 403."""
        (self.folder / "refused.service").write_text(pattern)

    def refuses(self, request: str) -> bool:
        """Tells whether a request is to be refused."""
        refused = self.folder / "refused.service"
        return refused.exists() and re.search(refused.read_text(), request) is not None

    def sends(self, count: int) -> None:
        """Notes that so many bytes of an object are sent."""
        with open(self.folder / "sent.service", "a") as log:
            log.write(f"{count}\n")

    def sent(self) -> int:
        """Returns how many bytes of objects were sent."""
        return sum(int(line) for line in (self.folder / "sent.service").read_text().splitlines())


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    storage: Storage
    context: ssl.SSLContext

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.connection = self.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def log_message(self, *_: Any) -> None:
        pass

    def _reply(self, content: bytes | dict[str, Any], code: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _asked(self) -> tuple[list[str], dict[str, str], bytes]:
        """Returns a request's path, split and unquoted, its query and its body."""
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        body = b"".join(self._chunks()) if chunked else self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        return [urllib.parse.unquote(part) for part in url.path.strip("/").split("/")], query, body

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _answer(self) -> None:
        path, query, body = self._asked()
        if self.storage.refuses(f"{self.command} {urllib.parse.unquote(self.path)}"):
            self._reply(b"no access", 403)
        elif path[0] == "upload":
            self._upload(f"{path[4]}/{query['name']}", query, body)
        elif path[:3] != ["storage", "v1", "b"]:
            self._download("/".join(path))
        elif path[4:] in ([], ["storageLayout"]):
            self._reply({"location": "here"})
        elif path[4:] == ["o"]:
            self._list(path[3], query)
        else:
            self._one(f"{path[3]}/{path[5]}", path[6:])

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def _upload(self, name: str, query: dict[str, str], body: bytes) -> None:
        if self.command == "POST" and query["uploadType"] == "resumable":
            self._reply(b"", Location=f"https://{_HOSTS[0]}{self.path}")
        elif query.get("ifGenerationMatch") == "0" and self.storage.path(name).exists():
            self._reply(b"", 412)
        else:
            self.storage.put(name, body)
            self._reply({})

    def _download(self, name: str) -> None:
        path = self.storage.path(name)
        if not path.exists():
            self._reply(b"", 404)
            return
        first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups()  # type: ignore[union-attr]
        part = path.read_bytes()[int(first) : int(last) + 1]
        self.storage.sends(len(part))
        self._reply(part, 206 if part else 416)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        start, delimiter = f"{bucket}/{query.get('prefix', '')}", query.get("delimiter")
        names, folders = [], set()
        for name in self.storage.names(start):
            head, found, _ = name[len(start) :].partition(delimiter or "\0")
            if found:
                folders.add(f"{start}{head}{delimiter}"[len(bucket) + 1 :])
            else:
                names.append(name[len(bucket) + 1 :])
        items = [{"name": name} for name in names[: int(query.get("maxResults", len(names)))]]
        self._reply({"items": items, "prefixes": sorted(folders)})

    def _one(self, name: str, more: list[str]) -> None:
        path = self.storage.path(name)
        if not path.exists():
            self._reply({}, 404)
        elif more:  # rewriteTo/b/BUCKET/o/NAME
            self.storage.put(f"{more[2]}/{more[4]}", path.read_bytes())
            self._reply({"done": True})
        elif self.command == "DELETE":
            path.unlink()
            self._reply(b"", 204)
        else:
            about = {"size": str(path.stat().st_size), "generation": str(path.stat().st_mtime_ns)}
            self._reply({**about, "updated": "2026-01-01T00:00:00.000Z"})


def _certificate(folder: pathlib.Path) -> pathlib.Path:
    """Writes a key and a certificate for the hosts of the real one, signed by itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "made-up storage")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in _HOSTS]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(pem) + secret)
    return path


@contextlib.contextmanager
def serve(folder: pathlib.Path) -> Iterator[tuple[Storage, dict[str, str]]]:
    """Serves an empty storage; gives it, and the environment in which TensorFlow's client finds it."""
    certificate, storage = _certificate(folder), Storage(folder / "objects")
    storage.folder.mkdir()
    command = [sys.executable, __file__, certificate, storage.folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        proxy = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        yield storage, {"https_proxy": proxy, "CURL_CA_BUNDLE": str(certificate), "NO_GCE_CHECK": "true"}
        process.kill()


def _serve(certificate: str, folder: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    handler = type("Handler", (_Handler,), {"storage": Storage(pathlib.Path(folder)), "context": context})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
