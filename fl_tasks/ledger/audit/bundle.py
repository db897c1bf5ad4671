"""A bundle for an auditor without keys and without access to the store: the signed documents, opened, in one file.

A bundle is a ZIP archive without compression. ``index.json`` lists the SHA-256 of every member and is signed by the party. The
archive around the members has only one allowed form, so a change of any byte is detected.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from tombolo.agreements.agreement import Agreement
from tombolo.fl_tasks.ledger.audit.findings import Audit, Differs
from tombolo.fl_tasks.ledger.audit.source import LARGEST, Opened, StoreSource, keys_over_time, objects_of
from tombolo.fl_tasks.ledger.settlement.state import BOOK, EVIDENCE, PAIR
from tombolo.fl_tasks.runtime.state import MANIFEST, SIGNATURES
from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import SignatureRefused
from tombolo.storage.ledger.chain import Header
from tombolo.storage.stores.base import KeyMissing, is_key

SCHEMA, DOMAIN, PART = "tombolo.audit/1", "audit-bundle", "bundle"
INDEX, SIGNATURE = "index.json", "index.sig"
_MOST_MEMBERS = 500_000
_EXPORTED = (MANIFEST, SIGNATURES, PAIR, BOOK, EVIDENCE)
_AGREEMENT = re.compile(r"agreement/(agreement\.yaml|amendments/[0-9]{4}\.yaml|signatures/[A-Za-z0-9._-]+\.json)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")

CONTENTS = """\
An audit bundle of one party's part in a federation. Open report.html to read it. `tombolo audit verify --bundle FILE` verifies it
without any key or store. The agreement in it pins the public keys. Before you rely on this bundle, compare the digest of the
agreement and the hash of the last block with those of another party.

  agreement/   terms, amendments (with all public keys) and signatures, as all parties hold them
  segments/    the party's record: signed header (.json) and entries, a line each (.jsonl)
  blocks/      the blocks that all parties signed, with votes and attestations
  runs/        per run: the manifest and its signatures; per pair of parties the salt and the lines of the reconciled books
  index.json   SHA-256 of every file here; index.sig is the party's signature over it

What it discloses: names of parties and of the people who approved runs, addresses and times of artifacts, hashes, numbers of
rows and bytes, ciphertext types, parameters, losses, metrics, contributions, rewards, findings. It holds the lines and the salt of
each pair of this party, so that the reader can check the lines against the root of the pair. Of artifacts between other parties it
holds only counts and salted roots.
What it does not hold: data, ids, scores, models, artifacts, private keys, or anything from which one of these could be computed.
"""


class BundleExists(CodedError):
    code = "TMB-AUDIT-008"
    cause = "The file for the bundle already exists, and a bundle is never overwritten."
    remedy = "Name another file, or move the existing file to another place."


class BadBundle(CodedError):
    code = "TMB-AUDIT-007"
    cause = "The file is not an audit bundle, or it differs from what its party signed."
    remedy = "Ask the party to make a new bundle with `tombolo audit export`. Keep the altered file for the investigation."


# -- writing --------------------------------------------------------------------------------------------------------------------


def export(source: StoreSource, report: str, path: Path) -> int:
    """Write a bundle to a new file; returns how many members it has. Raises :class:`BundleExists`."""
    try:
        with path.open("xb") as file:
            return _write(source, report, file)
    except FileExistsError:
        raise BundleExists(f"{path}.") from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write(source: StoreSource, report: str, file: IO[bytes]) -> int:
    listed: list[list[str]] = []
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in _members(source, report):
            _add(archive, name, data)
            listed.append([name, hashlib.sha256(data).hexdigest()])
        now = datetime.now(UTC).isoformat(timespec="seconds")
        about = {"schema": SCHEMA, "party": source.party, "agreement": source.agreement.name, "exported": now}
        index = canonical({**about, "members": listed})
        _add(archive, INDEX, index)
        _add(archive, SIGNATURE, source.keys.signing.sign(DOMAIN, index))
    return len(listed)


def _members(source: StoreSource, report: str) -> Iterator[tuple[str, bytes]]:
    """Every member. Objects that cannot be read are left out; the report lists them."""
    yield "README.txt", CONTENTS.encode()
    yield "report.html", report.encode()
    folder = source.agreement.folder
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = f"agreement/{path.relative_to(folder).as_posix()}"
        if _AGREEMENT.fullmatch(name):
            yield name, path.read_bytes()
    for key in _exported(source):
        try:
            yield from _opened(source, key)
        except CodedError:
            continue


def _exported(source: StoreSource) -> list[str]:
    name = source.agreement.name
    runs = [key for item in _EXPORTED for key, _, _ in objects_of(source, item)]
    return [*source.names(f"ledger/{name}/segments/"), *source.names(f"ledger/{name}/blocks/"), *sorted(runs)]


def _opened(source: StoreSource, key: str) -> list[tuple[str, bytes]]:
    place = key.split("/", 2)[2]
    if place.startswith("segments/"):
        segment = source.segment(key)
        signature = base64.b64encode(segment.signature).decode()
        head = canonical({"header": asdict(segment.header), "signature": signature})
        return [(f"{place}.json", head), (f"{place}.jsonl", segment.lines)]
    return [(place + _suffix(place), source.read(key))]


def _suffix(place: str) -> str:
    return ".sig" if place.startswith("runs/") and place.split("/")[2] == "signatures" else ".json"


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a member. Members differ only in name and bytes: they have no time, no owner and no compression."""
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, 0o644 << 16
    archive.writestr(member, data, zipfile.ZIP_STORED)


# -- reading --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BundleSource:
    """A bundle that is read like the store that it was made from."""

    party: str
    agreement: Agreement
    exported: str
    archive: zipfile.ZipFile
    members: frozenset[str]

    def names(self, prefix: str) -> list[str]:
        """The keys of the objects in the bundle, as in the store."""
        name, keys = self.agreement.name, set()
        for member in self.members:
            above, place = member.split("/", 1)[0], member.rpartition(".")[0]
            if above in ("segments", "blocks"):
                keys.add(f"ledger/{name}/{place}")
            elif above == "runs":
                keys.add(f"private/{name}/{place}")
        return sorted(key for key in keys if key.startswith(prefix))

    def read(self, key: str) -> bytes:
        place = key.split("/", 2)[2]
        return self._member(place + _suffix(place))

    def segment(self, key: str) -> Opened:
        place = key.split("/", 2)[2]
        head = parse(self._member(f"{place}.json"))
        signature = base64.b64decode(head["signature"], validate=True)
        return Opened(Header(**head["header"]), signature, self._member(f"{place}.jsonl"))

    def _member(self, name: str) -> bytes:
        if name not in self.members:
            raise KeyMissing(name)
        return _read(self.archive, name)


@contextmanager
def opened(audit: Audit, path: Path, plugins: Collection[str] = ()) -> Iterator[BundleSource]:
    """Open a bundle after every byte of it was compared with its signed index. Differences are findings.

    The agreement's protocol may come from one of the distributions ``plugins``. Raises :class:`BadBundle` if the index or the
    agreement cannot be read.
    """
    try:
        with (
            path.open("rb") as file,
            tempfile.TemporaryDirectory(prefix="tombolo-audit-") as folder,
            _archive(file) as archive,
        ):
            index = _index(archive)
            agreement = _agreement(archive, index, Path(folder), plugins)
            _check(audit, archive, index, agreement, file)
            names = frozenset(name for name, _ in index["members"])
            yield BundleSource(index["party"], agreement, index["exported"], archive, names)
    except OSError as error:
        raise BadBundle(f"{path} cannot be read ({error.strerror}).") from None


@contextmanager
def _archive(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise BadBundle("The file is not a ZIP archive.") from None
    with archive:
        members = archive.infolist()
        names = {member.filename for member in members}
        if len(members) > _MOST_MEMBERS or len(names) != len(members) or not all(map(is_key, names)):
            raise BadBundle("It has too many members, or members with the same name or a wrong name.")
        plain = all(member.compress_type == zipfile.ZIP_STORED and member.file_size <= LARGEST for member in members)
        if not plain or sum(member.file_size for member in members) > os.fstat(file.fileno()).st_size:
            raise BadBundle("A member is compressed, too large, or shares its bytes with another.")
        yield archive


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, KeyError, EOFError, RuntimeError, NotImplementedError, ValueError):
        raise BadBundle(f"{name} cannot be read.") from None


def _index(archive: zipfile.ZipFile) -> dict[str, Any]:
    """The index, if it has the right form. Its signature is checked later, when the agreement is known."""
    try:
        index = parse(_read(archive, INDEX), LARGEST)
        texts = [index[name] for name in ("schema", "party", "agreement", "exported")]
        texts += [text for name, sha256 in index["members"] for text in (name, sha256)]
        if not all(type(text) is str for text in texts) or index["schema"] != SCHEMA or len(index) != 5:
            raise BadBundle("Its index has a wrong form or belongs to another version.")
    except (LookupError, TypeError, ValueError, CodedError) as error:
        raise error if isinstance(error, BadBundle) else BadBundle("Its index cannot be read.") from None
    return dict(index)


def _agreement(archive: zipfile.ZipFile, index: dict[str, Any], folder: Path, plugins: Collection[str]) -> Agreement:
    """Write the files of the agreement into a folder, in the layout that the parties use, and load the agreement."""
    if not _NAME.fullmatch(index["agreement"]):
        raise BadBundle("Its index does not name an agreement.")
    home = folder / index["agreement"]
    for name, _ in index["members"]:
        if _AGREEMENT.fullmatch(name):
            path = home / name.split("/", 1)[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_read(archive, name))
    try:
        return Agreement.load(home, verify=False, plugins=plugins)
    except CodedError as error:
        raise BadBundle(f"Its agreement cannot be read ({error.code}).") from None


def _check(audit: Audit, archive: zipfile.ZipFile, index: dict[str, Any], agreement: Agreement, file: IO[bytes]) -> None:
    """Check the hash of every member, the signature of the index, and that the file has no other bytes."""
    findings_before = len(audit.findings)
    for name, sha256 in index["members"]:
        with audit.at(PART, name):
            if hashlib.sha256(_read(archive, name)).hexdigest() != sha256:
                raise Differs()
            audit.count(PART, "files")
    with audit.at(PART, SIGNATURE):
        _check_signature(archive, agreement, index["party"])
        audit.count(PART, "signatures")
    if len(audit.findings) == findings_before:
        with audit.at(PART, "archive"):
            _check_form(archive, [name for name, _ in index["members"]], file)


def _check_signature(archive: zipfile.ZipFile, agreement: Agreement, party: str) -> None:
    index, signature = _read(archive, INDEX), _read(archive, SIGNATURE)
    for key in reversed(keys_over_time(agreement, party)):
        try:
            return key.verify(signature, DOMAIN, index)
        except SignatureRefused:
            continue
    raise SignatureRefused()


def _check_form(archive: zipfile.ZipFile, names: Iterable[str], file: IO[bytes]) -> None:
    """Write the archive again from its members, and compare both."""
    with tempfile.TemporaryFile() as again:
        with zipfile.ZipFile(again, "w") as fresh:
            for name in (*names, INDEX, SIGNATURE):
                _add(fresh, name, _read(archive, name))
        if again.tell() != os.fstat(file.fileno()).st_size or _digest(again) != _digest(file):
            raise Differs("Bytes of the file outside its members were changed or added.")


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
