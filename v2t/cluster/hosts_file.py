"""Changes to a host that stands in `hosts.yml`, line by line: comments, order and all else stay."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v2t.cluster.files import NotYaml, load_yaml, read_text, replace_file
from v2t.cluster.machines import last_line, load_hosts
from v2t.domain.errors import ClusterBusy, InventoryInvalid, UsageError

if TYPE_CHECKING:
    import yaml


def remove_machine(text: str, name: str) -> str:
    """Without a host, in whichever groups it stands.

    Raises:
        UsageError: it is not there.
        InventoryInvalid: the file is not one that lines can be taken from.
    """
    import yaml

    document = _with_host(text, name)
    root = yaml.compose(text)
    assert root is not None  # it is the document
    gone = {number for entry in _entries(root, name) for number in _span(*entry)}
    lines = [line for number, line in enumerate(text.splitlines()) if number not in gone]
    return _checked(lines, _without(document, name))


def mark_machine(text: str, name: str, variable: str, value: str | bool | None) -> str:
    """With a variable of a host set to a value, or taken away where that is None.

    Raises:
        UsageError: the host is not there.
        InventoryInvalid: the file is not one that lines can be changed in.
    """
    import yaml

    document = _with_host(text, name)
    hosts = document["v2t"]["hosts"]
    meant = {key: known for key, known in (hosts[name] or {}).items() if key != variable}
    hosts[name] = meant if value is None else meant | {variable: value}
    root = yaml.compose(text)
    assert root is not None  # it is the document
    key, values = next(_entries(_value(_value(root, "v2t"), "hosts"), name, inside=True))
    stated = values.value if isinstance(values.value, list) else []
    column = stated[0][0].start_mark.column if stated else key.start_mark.column + 2
    line = [] if value is None else [f"{' ' * column}{variable}: {json.dumps(value)}"]
    old = next((_span(*entry) for entry in stated if entry[0].value == variable), None)
    lines = text.splitlines()
    if old is not None:
        lines[old.start : old.stop] = line
    else:
        after = _span(key, values).stop
        lines[after:after] = line
    return _checked(lines, document)


@contextmanager
def edited(path: Path, text: str) -> Iterator[None]:
    """Have the file say so; but where another operator turns out to change the cluster it says what it said.

    Raises:
        StorageError: it cannot be written.
    """
    before = read_text(path)
    if text != before:
        replace_file(path, text)
    try:
        yield
    except ClusterBusy:
        if text != before:
            replace_file(path, before)
        raise


def _with_host(text: str, name: str) -> dict[str, Any]:
    document = load_hosts(text)
    if name not in document["v2t"]["hosts"]:
        raise UsageError(f"{name} is not in hosts.yml, which has {', '.join(map(str, document['v2t']['hosts']))}")
    return document


def _entries(node: yaml.Node, name: str, *, inside: bool = False) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Key and value of a host wherever it stands below `hosts`."""
    for key, value in node.value if isinstance(node.value, list) else ():
        if inside and key.value == name:
            yield key, value
        elif not inside:
            yield from _entries(value, name, inside=key.value == "hosts")


def _value(node: yaml.Node, name: str) -> yaml.Node:
    found: yaml.Node = next(value for key, value in node.value if key.value == name)
    return found


def _span(key: yaml.Node, value: yaml.Node) -> range:
    """The lines of an entry."""
    return range(key.start_mark.line, last_line(value) + 1)


def _without(document: Any, name: str) -> Any:
    if not isinstance(document, Mapping):
        return document
    return {
        key: {host: facts for host, facts in value.items() if host != name}
        if key == "hosts" and isinstance(value, Mapping)
        else _without(value, name)
        for key, value in document.items()
    }


def _checked(lines: list[str], meant: Any) -> str:
    text = "\n".join(lines) + "\n"
    try:
        is_meant = _plain(load_yaml(text)) == _plain(meant)
    except NotYaml:
        is_meant = False
    if not is_meant:
        raise InventoryInvalid("hosts.yml is written in a way that lines cannot be changed in; change it by hand")
    return text


def _plain(document: Any) -> Any:
    """An empty mapping is as good as none."""
    if not isinstance(document, Mapping):
        return document
    return {key: _plain(value) for key, value in document.items()} or None
