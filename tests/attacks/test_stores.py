"""A peer's store answers with more than it says, or its address asks for secrets: nothing is read beyond what can be meant."""

from __future__ import annotations

import http.server
import threading
import time
from types import SimpleNamespace

import pytest
import yaml
from pydantic import SecretStr

from tests.agreements.test_agreement import KEYS, TERMS, pinned
from tests.bounds import outcome
from tombolo.agreements.agreement import Agreement
from tombolo.agreements.amendments import BadAmendment
from tombolo.agreements.reading import BadDocument
from tombolo.plugins.console.facts.artifacts import DIFFERS, Artifact, hash_state
from tombolo.storage.stores import bounded, minio
from tombolo.storage.stores.local import LocalStore
from tombolo.storage.stores.minio import MinioStore, S3Config
from tombolo.storage.stores.opening import require_shareable

LARGE, UNREACHABLE = "TMB-STORE-008 None", "TMB-STORE-004 None"
ENDLESS = 1 << 20
LISTING = (
    b"<?xml version='1.0'?><ListBucketResult><Name>b</Name><IsTruncated>true</IsTruncated>"
    + b"".join(
        b"<Contents><Key>k%06d</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>" % number
        for number in range(1000)
    )
    + b"<NextContinuationToken>again</NextContinuationToken></ListBucketResult>"
)


EMPTY_PAGE = LISTING.replace(LISTING[LISTING.index(b"<Contents>") : LISTING.rindex(b"</Contents>") + 11], b"")
LONG_NAME = EMPTY_PAGE.replace(b"<Next", b"<Contents><Key>k" + b"x" * (7 << 20) + b"</Key><Size>1</Size></Contents><Next")
PAGES = {"listing without end": LISTING, "empty pages without end": EMPTY_PAGE, "names of 7 MB": LONG_NAME}


class Hostile(http.server.BaseHTTPRequestHandler):
    """Says that every object has 100 bytes. What it sends is in ``mode``."""

    mode = "endless"
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        modified = "Wed, 01 Jan 2025 00:00:00 GMT" if self.mode != "odd time" else "Wed, 99 Foo 0000 99:99:99 GMT"
        self._begin(200, {"Content-Length": "100", "ETag": '"x"', "Last-Modified": modified})

    def do_GET(self) -> None:
        if self.mode in PAGES:
            self._begin(200, {"Content-Length": str(len(PAGES[self.mode])), "Content-Type": "application/xml"})
            self.wfile.write(PAGES[self.mode])
        elif self.mode == "interim answers without end":
            while True:
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
        elif self.mode in ("trailers without end", "sizes of chunks without end"):
            self._begin(200, {"Transfer-Encoding": "chunked"})
            self.wfile.write(b"1\r\nx\r\n" + (b"0\r\n" if self.mode == "trailers without end" else b""))
            while True:
                self.wfile.write(b"X: a\r\n" if self.mode == "trailers without end" else b"0")
                time.sleep(0.05)
        elif self.mode == "headers that never end":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                self.wfile.write(b"X: a")
                time.sleep(0.05)
        elif self.mode == "no XML":
            self._begin(200, {"Content-Length": "5", "Content-Type": "application/xml"})
            self.wfile.write(b"<a><b")
        else:
            status = 500 if self.mode == "endless error" else 200
            self._begin(status, {"Content-Length": str(ENDLESS << 20), "Content-Type": "application/xml"})
            try:
                for _ in range(ENDLESS):
                    self.wfile.write(bytes(1 << 20))
            except OSError:
                self.close_connection = True

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def hostile(monkeypatch) -> MinioStore:
    monkeypatch.setattr(minio, "_ATTEMPTS", 1)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    keys = {"access_key": SecretStr("a"), "secret_key": SecretStr("b" * 8)}
    yield MinioStore(S3Config(endpoint=f"127.0.0.1:{server.server_port}", bucket="peer", secure=False, **keys))
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("mode", "work", "expected"),
    [
        ("endless", lambda store: store.get("to-me/head", 80 << 20), LARGE),
        ("endless", lambda store: store.list("to-me/"), LARGE),
        ("endless error", lambda store: store.get("to-me/head", 100), LARGE),
        ("endless error", lambda store: store.list("to-me/"), LARGE),
        ("listing without end", lambda store: store.list("k", 5000), LARGE),
        ("empty pages without end", lambda store: store.list("k", 5000), LARGE),
        ("names of 7 MB", lambda store: store.list("k", 5000), LARGE),
        ("interim answers without end", lambda store: store.get("to-me/head", 100), LARGE),
        ("headers that never end", lambda store: store.get("to-me/head", 100), UNREACHABLE),
        ("trailers without end", lambda store: store.get("to-me/head", 100), UNREACHABLE),
        ("sizes of chunks without end", lambda store: store.get("to-me/head", 100), UNREACHABLE),
        ("no XML", lambda store: store.list("to-me/"), UNREACHABLE),
        ("odd time", lambda store: store.stat("to-me/head"), UNREACHABLE),
    ],
)
def test_an_s3_server_without_end(hostile, monkeypatch, mode, work, expected):
    monkeypatch.setattr(Hostile, "mode", mode)
    monkeypatch.setattr(bounded, "_GRACE", 3.0)
    assert outcome(lambda: work(hostile)) == expected


def test_a_sparse_file_is_not_read(tmp_path):
    with (tmp_path / "head").open("wb") as file:
        file.truncate(1 << 40)
    assert outcome(lambda: LocalStore(tmp_path).get("head", 1000)) == LARGE


def test_a_folder_of_too_many_files(tmp_path):
    for number in range(30):
        (tmp_path / f"k{number}").touch()
    store = LocalStore(tmp_path)
    assert len(store.list("k", 30)) == 30
    assert outcome(lambda: store.list("k", 29)) == LARGE


def test_folders_without_files(tmp_path):
    for number in range(2000):
        (tmp_path / f"k{number}").mkdir()
    assert outcome(lambda: LocalStore(tmp_path).list("k", 10)) == LARGE


def test_the_console_reads_no_more_than_was_booked(tmp_path):
    """A peer that puts gigabytes in the place of a booked object does not stop the API server."""
    address = "to-me/trial/run-1/000000/1/note"
    head = tmp_path / address / "head"
    head.parent.mkdir(parents=True)
    with head.open("wb") as file:
        file.truncate(1 << 40)
    context = SimpleNamespace(me="me", store=None, peers={"peer": LocalStore(tmp_path)}, terms=SimpleNamespace(retention=None))
    booked = Artifact("received", "peer", address, "ab" * 32, 6000, 1, ("public",), "2026-01-01T00:00:00+00:00")
    seen = []
    assert outcome(lambda: seen.append(hash_state(context, booked, False))) == "accepted"
    assert hash_state(context, booked, False) == DIFFERS


@pytest.mark.parametrize(
    "address",
    [
        "airflow://tombolo_keys/bucket",
        "s3://peer?endpoint=https://objects.peer.example&credentials=AWS",
        "s3://peer?endpoint=https://objects.peer.example&credentials=file:/run/secrets/keys.json",
        "s3://peer?endpoint=https://objects.peer.example&ca=/etc/passwd",
        "s3://peer?endpoint=https://objects.peer.example&proxy=http://proxy.peer.example:3128",
        "s3://peer?endpoint=https://objects.peer.example&credentials=",
        "s3://user:word@peer?endpoint=https://objects.peer.example",
        "file:///" + "x" * 2000,
        "file:///a\nb",
    ],
)
def test_an_address_that_would_use_secrets_of_its_reader_is_not_signed(tmp_path, address):
    with pytest.raises(ValueError, match="address"):
        require_shareable(address)
    folder = tmp_path / "trial"
    (folder / "amendments").mkdir(parents=True)
    (folder / "agreement.yaml").write_text(yaml.safe_dump(TERMS, sort_keys=False))
    agreed = pinned(folder)
    with pytest.raises(BadAmendment, match="address"):
        agreed.write_amendment([{"pin": {"party": "lab", "store": address}}])
    written = {"schema": "tombolo.amendment/1", "number": 2, "previous": agreed.digest}
    written["changes"] = [{"pin": {"party": "lab", "store": address}}]
    (folder / "amendments" / "0002.yaml").write_text(yaml.safe_dump(written))
    with pytest.raises(BadDocument, match="address"):  # nor is one that a peer wrote by hand
        Agreement.load(folder, verify=False).sign(KEYS["clinic"])


def test_addresses_that_all_may_open():
    for address in ("file:///srv/stores/lab", "s3://lab/prefix?endpoint=https://objects.lab.example&region=eu-1", "memory://lab"):
        assert require_shareable(address) == address
