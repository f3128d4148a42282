"""The inventories of the repository are those of one cluster, at other addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2t.cluster.inventory import Inventory, read_inventory

INVENTORIES = Path(__file__).parents[2] / "inventory"


def read(name: str, folder: Path) -> Inventory:
    password = folder / "password"
    password.write_text("none of them has a vault that is encrypted\n")
    return read_inventory(INVENTORIES / name, password)


@pytest.mark.parametrize("name", ["lab", "vagrant"])
def test_an_inventory_has_the_hosts_and_groups_of_the_sample(name: str, tmp_path: Path) -> None:
    sample, found = read("sample", tmp_path), read(name, tmp_path)

    assert found.groups == sample.groups
    for host in sample.hosts:
        assert found.variables[host]["v2t_address"] == sample.variables[host]["v2t_address"]
        assert found.variables[host]["ansible_host"] != sample.variables[host]["ansible_host"]


@pytest.mark.parametrize("name", ["lab", "vagrant"])
def test_what_holds_for_every_cluster_is_the_same_in_an_inventory_as_in_the_sample(name: str) -> None:
    texts = [(INVENTORIES / each / "group_vars/all/main.yml").read_text("utf-8") for each in ("sample", name)]

    assert texts[0] == texts[1]
