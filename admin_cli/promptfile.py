# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Prompt files: one ``NAME.prompt.yaml`` per prompt, in a folder tree equal to the prompt's path.

    billing/refund.prompt.yaml  <->  the prompt ``billing/refund``

A file holds what a version fixes (``messages``, ``inputs``, ``params``, ``guardrails`` ...) and what describes the prompt
(``description``, ``tags``). Which version is live is not in it: that is the registry's to say. Keys are checked here so that
a slip names file and key; what the values mean is the server's to judge.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

SUFFIX = ".prompt.yaml"

DESCRIPTIVE_KEYS = ("name", "description", "tags")
"""About the prompt, not about one version of it."""
CONTENT_KEYS = {
    "format": str,
    "model": str,
    "params": dict,
    "overridable": list,
    "undefined": str,
    "system_policy": str,
    "inputs": dict,
    "messages": list,
    "guardrails": dict,
    "cache": dict,
    "metadata": dict,
}
"""What a version fixes, in the order files are written, with the YAML type each must have."""
_RENAMED = {"inputs": "variables"}
"""File key -> API field, where the field's convention for files differs from ours."""


class PromptFileError(Exception):
    """A file that cannot be read as a prompt; the text names file and key."""


class PromptFile(Struct, frozen=True):
    """One prompt as a file holds it."""

    name: str
    content: dict[str, Any]
    """The API's version content (JSON form), defaults left out."""
    description: str = ""
    tags: list[str] = []


class _StrictLoader(yaml.SafeLoader):
    """YAML without its traps for prompt texts: a repeated key silently wins, ``no`` is false, dates are objects."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(None, None, f"{key!r} is no text, as keys must be: quote it", key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"{key!r} appears twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_BOOL, _TIMESTAMP = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"
_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in {_BOOL, _TIMESTAMP}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_StrictLoader.add_implicit_resolver(_BOOL, re.compile("^(?:true|false)$"), ["t", "f"])


class _BlockDumper(yaml.SafeDumper):
    """Texts of several lines as literal blocks, so that a prompt reads and diffs like text."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


_OTHER_BREAKS = frozenset("\x85\u2028\u2029")


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # YAML 1.1 takes these three for line ends too; only a double-quoted scalar spells them out.
    style = '"' if _OTHER_BREAKS.intersection(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_BlockDumper.add_representer(str, _represent_text)


def name_of(path: Path, root: Path) -> str:
    """The prompt a file stands for: its path under ``root`` without the suffix."""
    return path.relative_to(root).as_posix().removesuffix(SUFFIX)


def path_of(name: str, root: Path) -> Path:
    """Where a prompt's file belongs. Raises :class:`PromptFileError` for a name that would leave ``root``."""
    path = root.joinpath(*f"{name}{SUFFIX}".split("/"))
    if ".." in name.split("/") or name.startswith("/") or not path.resolve().is_relative_to(root.resolve()):
        raise PromptFileError(f"{name!r} is not a path under {root}")
    return path


def parse(text: str, source: str, name: str | None = None) -> PromptFile:
    """Read a prompt file's text. ``source`` is for messages; ``name`` is what its path says, if it has one.

    Raises :class:`PromptFileError` naming the file and the key.
    """
    try:
        # S506 warns of loaders that build arbitrary objects; this one is a SafeLoader with stricter mappings.
        document = yaml.load(text, _StrictLoader)  # noqa: S506
    except yaml.YAMLError as error:
        raise PromptFileError(f"{source}: not valid YAML: {error}") from None
    if not isinstance(document, dict):
        raise PromptFileError(f"{source}: a prompt file is a mapping of keys, not {_kind(document)}")
    _check_keys(document, source)
    stated = document.get("name", name)
    if not stated:
        raise PromptFileError(f"{source}: name: missing")
    if name is not None and stated != name:
        raise PromptFileError(f"{source}: name: {stated!r}, but the file's path says {name!r}")
    content = {_RENAMED.get(key, key): document[key] for key in CONTENT_KEYS if key in document}
    content["messages"] = [_message(item, f"{source}: messages[{i}]") for i, item in enumerate(document["messages"])]
    return PromptFile(stated, content, document.get("description", ""), document.get("tags", []))


def dump(prompt: PromptFile) -> str:
    """The file's text: fixed key order, nothing that is empty, texts as literal blocks."""
    document: dict[str, Any] = {"name": prompt.name, "description": prompt.description, "tags": prompt.tags}
    for key in CONTENT_KEYS:
        document[key] = prompt.content.get(_RENAMED.get(key, key))
    document["messages"] = [_plain(message) for message in prompt.content["messages"]]
    filled = {key: value for key, value in document.items() if value}
    return yaml.dump(filled, Dumper=_BlockDumper, sort_keys=False, allow_unicode=True, width=120)


def _check_keys(document: dict[Any, Any], source: str) -> None:
    known = {"name": str, "description": str, "tags": list, **CONTENT_KEYS}
    for key, value in document.items():
        expected = known.get(key)
        if expected is None:
            raise PromptFileError(f"{source}: {key}: unknown key; accepted: {', '.join(known)}")
        if not isinstance(value, expected):
            raise PromptFileError(f"{source}: {key}: expected {_NAMES[expected]}, got {_kind(value)}")
    if not all(isinstance(tag, str) for tag in document.get("tags", [])):
        raise PromptFileError(f"{source}: tags: expected a list of texts")
    if not document.get("messages"):
        raise PromptFileError(f"{source}: messages: missing")


def _message(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise PromptFileError(f"{where}: expected `role` and `content`, or `placeholder`, got {_kind(item)}")
    accepted = {"placeholder"} if "placeholder" in item else {"role", "content"}
    if unknown := set(item) - accepted:
        raise PromptFileError(f"{where}.{min(unknown, key=str)}: unknown key; accepted: {', '.join(sorted(accepted))}")
    for key in sorted(accepted):
        if not isinstance(item.get(key), str):
            raise PromptFileError(f"{where}.{key}: expected a text, got {_kind(item.get(key))}")
    if "placeholder" in item:
        return {"type": "placeholder", "name": item["placeholder"]}
    return {"type": "message", "role": item["role"], "content": item["content"]}


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    if message["type"] == "placeholder":
        return {"placeholder": message.get("name", "messages")}
    return {"role": message["role"], "content": message["content"]}


_NAMES = {str: "a text", dict: "a mapping", list: "a list"}


def _kind(value: Any) -> str:
    return "nothing" if value is None else _NAMES.get(type(value), f"{value!r}")
