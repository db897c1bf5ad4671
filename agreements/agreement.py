"""An agreement as a folder: ``agreement.yaml``, ``amendments/NNNN.yaml`` and ``signatures/``."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tombolo.agreements.amendments import Amendment, BadAmendment, Member, amend, fingerprint
from tombolo.agreements.reading import BadDocument, read_model
from tombolo.agreements.task import SHORTEST_KEY
from tombolo.agreements.terms import Terms
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import PartyKeys, SignatureRefused, encode_key

DOMAIN = "agreement"


class Unsigned(CodedError):
    code = "TMB-AGREE-002"
    cause = "The agreement lacks a signature."
    remedy = "The named party runs `tombolo agreement sign` and sends its new file in signatures/ to all parties."


class NotAMember(CodedError):
    code = "TMB-AGREE-003"
    cause = "The agreement does not list this party with these keys."
    remedy = "Compare `tombolo keys show` with `tombolo agreement check`. A new key needs an amendment."


class NotPinned(CodedError):
    code = "TMB-AGREE-004"
    cause = "No amendment of the agreement lists the keys and stores of the parties yet."
    remedy = "Collect every party's public keys and write the first one with `tombolo agreement amend pin FOLDER`."


@dataclass(frozen=True)
class Link:
    """One link of the chain: the terms or an amendment.

    ``digest`` covers this link and all links before it. ``signers`` must sign the link. ``members`` are the members after it.
    """

    label: str
    digest: str
    signers: tuple[Member, ...]
    members: Mapping[str, Member] = field(repr=False)


@dataclass(frozen=True)
class Agreement:
    """A loaded agreement: its terms, its present members, and its chain, whose last digest covers the whole agreement."""

    folder: Path
    terms: Terms
    members: Mapping[str, Member]
    chain: tuple[Link, ...] = field(repr=False)

    @classmethod
    def load(cls, folder: Path, verify: bool = True, plugins: Collection[str] = (), shortest_key: int = SHORTEST_KEY) -> Agreement:
        """Read the folder; with ``verify``, raise :class:`Unsigned` or SignatureRefused unless the whole chain is signed.

        The protocol comes from Tombolo or from one of the distributions ``plugins``. Terms that allow a Paillier key of fewer than
        ``shortest_key`` bits are refused.
        """
        terms = read_model(folder / "agreement.yaml", Terms, {"plugins": plugins, "shortest_key": shortest_key})
        if folder.name != terms.name:
            raise BadDocument(f"{folder}: the agreement is named {terms.name}, and its folder must have the same name.")
        members: dict[str, Member] = {}
        links = [Link("terms", terms.digest, (), {})]
        for number, path in enumerate(sorted((folder / "amendments").glob("*.yaml")), start=1):
            amendment = read_model(path, Amendment)
            if amendment.number != number or path.stem != f"{number:04d}" or amendment.previous != links[-1].digest:
                raise BadAmendment(f"{path}: here must follow amendment {number:04d}, with previous: {links[-1].digest[:16]}....")
            members, signers = _amended(terms, members, amendment)
            links.append(Link(path.stem, amendment.digest, tuple(signers), members))
            if number == 1:
                links[0] = Link("terms", terms.digest, tuple(signers), members)
        agreement = cls(folder, terms, members, tuple(links))
        if verify:
            agreement.check()
        return agreement

    @property
    def name(self) -> str:
        """The agreement's name. Its folder has the same name."""
        return self.terms.name

    @property
    def digest(self) -> str:
        """Digest of the chain's last link: terms and all amendments."""
        return self.chain[-1].digest

    def roles(self) -> dict[str, str]:
        """The role of each member: first the parties of the terms, in their order, then the members that joined later."""
        listed = [name for name in self.terms.parties if name in self.members]
        return {name: self.members[name].role for name in [*listed, *(name for name in self.members if name not in listed)]}

    def check(self) -> None:
        """Verify all signatures of the chain. Raises NotPinned, SignatureRefused, or :class:`Unsigned` if one is missing."""
        if not self.members:
            raise NotPinned(self.name)
        for link, member, signature in self.signatures():
            if signature is None:
                raise Unsigned(f"{self.name}, {link.label} ({link.digest[:16]}...): {member.name}.", party=member.name)
            member.verify.verify(signature, DOMAIN, bytes.fromhex(link.digest))

    def signatures(self) -> list[tuple[Link, Member, bytes | None]]:
        """Every signature that the chain needs: its link, its signer, and the signature, None if the folder does not have it."""
        return [(link, member, self._signature(link, member)) for link in self.chain for member in link.signers]

    def require_member(self, party: str, keys: PartyKeys) -> None:
        """Raise :class:`NotAMember` unless the agreement pins ``keys`` for ``party``."""
        member = self.members.get(party)
        if member is None or keys.signing.public() != member.verify or keys.sealing.public() != member.seal:
            raise NotAMember(f"Agreement {self.name}.", party=party)

    def sign(self, keys: PartyKeys) -> list[str]:
        """Sign every link that needs this key's signature and lacks it; returns their labels."""
        public, signed = keys.signing.public(), []
        for link, member, signature in self.signatures():
            if member.verify == public and signature is None:
                path = self._signature_path(link, member)
                path.parent.mkdir(exist_ok=True)
                made = base64.b64encode(keys.signing.sign(DOMAIN, bytes.fromhex(link.digest))).decode()
                path.write_text(json.dumps({"digest": link.digest, "party": member.name, "signature": made}, indent=1) + "\n")
                signed.append(link.label)
        return signed

    def write_amendment(self, changes: list[dict[str, Any]]) -> Path:
        """Write the next amendment, without signatures. Raises BadAmendment if the changes do not fit."""
        number = len(self.chain)
        document = {"schema": "tombolo.amendment/1", "number": number, "previous": self.digest, "changes": changes}
        try:
            amendment = Amendment.model_validate(document)
        except ValidationError as error:
            mistakes = (mistake["msg"].removeprefix("Value error, ") for mistake in error.errors())
            raise BadAmendment("; ".join(mistakes) + ".") from None
        _amended(self.terms, self.members, amendment)
        path = self.folder / "amendments" / f"{number:04d}.yaml"
        path.parent.mkdir(exist_ok=True)
        with path.open("x") as file:
            yaml.safe_dump(document, file, sort_keys=False, width=10_000)
        return path

    @staticmethod
    def pin_all(
        folder: Path,
        parties: Mapping[str, tuple[PartyKeys, str]],
        plugins: Collection[str] = (),
        shortest_key: int = SHORTEST_KEY,
    ) -> Agreement:
        """Write the first amendment, sign the agreement with the private keys of all ``parties``, and return it."""
        changes = [{"pin": {"party": name, **public_half(keys), "store": store}} for name, (keys, store) in parties.items()]
        Agreement.load(folder, False, plugins, shortest_key).write_amendment(changes)
        for keys, _ in parties.values():
            Agreement.load(folder, False, plugins, shortest_key).sign(keys)
        return Agreement.load(folder, True, plugins, shortest_key)

    def _signature_path(self, link: Link, member: Member) -> Path:
        return self.folder / "signatures" / f"{link.digest[:16]}.{member.name}.{fingerprint(member.verify)}.json"

    def _signature(self, link: Link, member: Member) -> bytes | None:
        path = self._signature_path(link, member)
        if not path.exists():
            return None
        try:
            return base64.b64decode(json.loads(path.read_text())["signature"], validate=True)
        except (OSError, ValueError, KeyError, TypeError):
            raise SignatureRefused(f"{path} is not a signature file.", party=member.name) from None


def _amended(terms: Terms, members: Mapping[str, Member], amendment: Amendment) -> tuple[dict[str, Member], list[Member]]:
    """Members and signers after an amendment. Raises BadAmendment if the parties left cannot train by the terms."""
    after, signers = amend(members, amendment, terms.roles())
    try:
        terms.require_composition(member.role for member in after.values())
    except ValueError as error:
        raise BadAmendment(f"After amendment {amendment.number:04d} the parties do not fit the terms: {error}.") from None
    return after, signers


def public_half(keys: PartyKeys) -> dict[str, str]:
    """A party's public keys, as an amendment holds them."""
    return {"verify": encode_key(keys.signing.public().raw), "seal": encode_key(keys.sealing.public().raw)}
