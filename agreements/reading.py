"""Reads YAML files that people wrote. Errors name the file, line and field, what is wrong and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tombolo.storage.errors import CodedError, shown

_MOST_MISTAKES = 100
M = TypeVar("M", bound=BaseModel)
_MAX_BYTES = 1 << 20
_MAX_NODES = 100_000
_MAX_DEPTH = 100
_PLACE = re.compile(r"[A-Za-z][\w.-]*")


class BadDocument(CodedError):
    code = "TMB-TERMS-001"
    cause = "An agreement, amendment or settings file has mistakes."
    remedy = "Correct the named lines; docs/agreements.md lists every field."

    @staticmethod
    def readable(detail: str) -> str:
        """One line for each mistake."""
        return "\n".join(shown(line) for line in detail.splitlines()[:_MOST_MISTAKES])


class _Loader(yaml.CSafeLoader):
    """A safe loader that reads 1e-5 as a number; YAML 1.1 reads it as text. libyaml is ten times as fast as Python."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789"))


def read_yaml(path: Path) -> tuple[Any, yaml.Node | None]:
    """The document and its node tree (for line numbers); raises :class:`BadDocument`.

    A peer may have written the file, so its size is limited, also after its aliases are expanded. No key may occur twice.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadDocument(f"{path} is larger than {_MAX_BYTES} bytes.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise BadDocument(f"{path} cannot be read.") from None
    try:
        _check_depth(path, text)
        loader = _Loader(text)
        tree = loader.get_single_node()
        if tree is None:
            return None, None
        _check_tree(path, tree)
        return loader.construct_document(tree), tree
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise BadDocument(f"{where}: not YAML ({getattr(error, 'problem', 'unreadable')}).") from None
    except (ValueError, RecursionError):
        raise BadDocument(f"{path} holds a value that cannot be read.") from None


def _check_depth(path: Path, text: str) -> None:
    """Refuse files that are nested too deeply: the loader recurses in C, where a stack that is too deep kills the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise BadDocument(f"{path}: lists and fields are nested more than {_MAX_DEPTH} levels deep.")


def _check_tree(path: Path, root: yaml.Node) -> None:
    """Refuse keys that occur twice (YAML would use only the last) and files that grow too large when aliases are expanded."""
    nodes, count = [root], 0
    while nodes:
        node, count = nodes.pop(), count + 1
        if count > _MAX_NODES:
            raise BadDocument(f"{path} is too large after its aliases are expanded.")
        if isinstance(node, yaml.SequenceNode):
            nodes.extend(node.value)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                nodes.append(value)
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        raise BadDocument(f"{path}:{key.start_mark.line + 1}: {key.value} occurs twice.")
                    seen.add(key.value)


def read_model(path: Path, model: type[M], context: Mapping[str, Any] | None = None) -> M:
    """Read and validate one file. ``context`` is for the validators. Raises :class:`BadDocument`, which lists all mistakes."""
    document, tree = read_yaml(path)
    try:
        return model.model_validate(document, context=context)
    except ValidationError as error:
        raise BadDocument("\n".join(_explain(path, tree, model, mistake) for mistake in error.errors()) or str(path)) from None


def _explain(path: Path, tree: yaml.Node | None, model: type[BaseModel], error: ErrorDetails) -> str:
    place = [part for part in error["loc"] if not (isinstance(part, str) and ("[" in part or ("-" in part and "(" in part)))]
    message = error["msg"].removeprefix("Value error, ")
    deeper, colon, rest = message.partition(": ")
    if error["type"] == "value_error" and colon and _PLACE.fullmatch(deeper):  # a rule over several fields names the one to change
        place, message = [*place, *deeper.split(".")], rest
    line = _line(tree, place)
    where = f"{path}:{line}" if line else str(path)
    dotted = ".".join(str(part) for part in place) or "document"
    if error["type"] == "extra_forbidden":
        allowed = _fields_at(model, place[:-1])
        near = difflib.get_close_matches(str(place[-1]), allowed, 1)
        message = f"unknown field; {f'did you mean {near[0]}? ' if near else ''}allowed: {', '.join(allowed) or 'none'}"
    return f"{where}: {dotted}: {message.removesuffix('.')}."


def _line(tree: yaml.Node | None, place: list[Any]) -> int | None:
    """The line of the last part of ``place`` that is in the file."""
    line = tree.start_mark.line + 1 if tree else None
    for part in place:
        if isinstance(tree, yaml.MappingNode):
            pair = next((pair for pair in tree.value if pair[0].value == str(part)), None)
            if pair is None:
                return line
            line, tree = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(tree, yaml.SequenceNode) and isinstance(part, int) and part < len(tree.value):
            tree = tree.value[part]
            line = tree.start_mark.line + 1
        else:
            return line
    return line


def _fields_at(model: type[BaseModel], place: list[Any]) -> list[str]:
    """The names of the fields that the model allows at a place, from its JSON schema."""
    schema = model.model_json_schema(by_alias=True)
    definitions, here = schema.get("$defs", {}), schema
    for part in place:
        here = _resolve(here, definitions)
        by_name = next(iter(here.get("patternProperties", {}).values()), None)
        here = here.get("properties", {}).get(str(part)) or by_name or here.get("additionalProperties") or here.get("items") or {}
        if not isinstance(here, dict):
            return []
    return sorted(_resolve(here, definitions).get("properties", {}))


def _resolve(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    for option in [schema, *schema.get("anyOf", []), *schema.get("allOf", [])]:
        if "$ref" in option:
            resolved: dict[str, Any] = definitions[option["$ref"].rsplit("/", 1)[1]]
            return resolved
    return schema
