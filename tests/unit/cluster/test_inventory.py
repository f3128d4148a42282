from __future__ import annotations

from pathlib import Path

import pytest

from v2t.cluster.inventory import choose_inventory, find_variable, parse_inventory, read_inventory
from v2t.domain.errors import InventoryInvalid, UsageError


def _write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_groups_hosts_are_those_of_its_children_as_well(tmp_path: Path) -> None:
    document = {
        "_meta": {"hostvars": {"m2": {"a": 1}}},
        "all": {"children": ["ungrouped", "v2t"]},
        "v2t": {"children": ["control", "workers"]},
        "control": {"children": ["redis", "minio"]},
        "redis": {"hosts": ["m2"]},
        "workers": {"hosts": ["m4-1", "m2"]},
    }

    inventory = parse_inventory(tmp_path, document)

    assert inventory.groups["v2t"] == ("m2", "m4-1")
    assert inventory.groups["control"] == ("m2",)
    assert inventory.groups["minio"] == ()
    assert inventory.variables == {"m2": {"a": 1}, "m4-1": {}}


def test_the_only_inventory_is_taken_and_of_several_one_must_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="v2t cluster init"):
        choose_inventory(None)
    _write(tmp_path / "inventory/a/hosts.yml")
    _write(tmp_path / "inventory/sample/hosts.yml")
    assert choose_inventory(None) == tmp_path / "inventory/a"

    _write(tmp_path / "inventory/b/hosts.yml")
    with pytest.raises(UsageError, match="inventory/a, inventory/b"):
        choose_inventory(None)
    assert choose_inventory(Path("inventory/b")) == tmp_path / "inventory/b"
    with pytest.raises(UsageError, match="v2t cluster init inventory/c"):
        choose_inventory(Path("inventory/c"))


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("redis_port", "group_vars/redis.yml:3"),
        ("ansible_host", "hosts.yml:2"),
        ("minio_size", "host_vars/m2.yml:1"),
        ("vault_redis_password", "group_vars/all/vault.yml"),
        ("port", "hosts.yml"),
    ],
)
def test_a_variable_is_found_where_it_is_set(tmp_path: Path, name: str, place: str) -> None:
    _write(tmp_path / "hosts.yml", "v2t:\n  hosts: {m2: {ansible_host: 10.0.0.2}}\n")
    _write(tmp_path / "group_vars/redis.yml", "---\n# redis_port: 1\nredis_port: 2\n")
    _write(tmp_path / "host_vars/m2.yml", '"minio_size": 3\n')

    assert find_variable(tmp_path, name) == place


def test_ansible_reads_the_variables_of_groups_and_hosts(tmp_path: Path) -> None:
    _write(tmp_path / "hosts.yml", "v2t: {children: {redis: {hosts: {m2: {ansible_host: 10.0.0.2}}}}}\n")
    _write(tmp_path / "group_vars/redis.yml", "redis_port: 2\n")
    _write(tmp_path / "host_vars/m2.yml", 'redis_name: "{{ inventory_hostname }}"\n')

    inventory = read_inventory(tmp_path, None)

    assert inventory.groups["v2t"] == ("m2",)
    assert inventory.variables["m2"] == {
        "ansible_host": "10.0.0.2",
        "redis_port": 2,
        "redis_name": "{{ inventory_hostname }}",
    }


def test_an_inventory_that_is_not_yaml_is_refused_with_the_line(tmp_path: Path) -> None:
    _write(tmp_path / "hosts.yml", "v2t:\n  hosts: [\n")

    with pytest.raises(InventoryInvalid, match=r"YAML parsing failed.*hosts\.yml:3"):
        read_inventory(tmp_path, None)
