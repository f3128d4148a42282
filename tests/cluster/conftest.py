"""A lab for all cluster tests of a run, and the operator who deploys on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.lab import Lab, running_lab
from support.lab.systems import DEFAULT_SYSTEM
from support.operator import Operator

_INDEX = "V2T_TEST_LAB"
"""Index of the lab, 0 to 9, for those who run the tests twice at once on one machine."""

_SYSTEM = "V2T_TEST_LAB_SYSTEM"
"""What the hosts run, of `python -m support.lab up --help`."""

_HOSTS = ("m2", "m4-1", "m4-2")
_WITH_WHISPER = "m4-2"
"""Where the workers run Whisper over SSH, besides its own worker."""

_SPARE = "m4-3"
"""Bare, and in no inventory until a test adds it."""

_LAB_SETTINGS = {
    "minio_allow_root_disk": True,
    "worker_instances": 1,
    "worker_memory_max": "3G",
    "worker_model": "tiny.en",
}
"""What only a lab needs."""

_LIFE = (
    "test_lab",
    "test_faults",
    "test_deploy",
    "test_facts",
    "test_firewall",
    "test_monitoring",
    "test_looking",
    "test_operator",
    "test_ssh_whisper",
    "test_certificates",
    "test_secrets",
    "test_failures",
    "test_scaling",
    "test_life",
    "test_backup",
    "test_destroy",
)
"""The files in the order of a cluster's life: from bare hosts over all that may happen to it to its end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the cluster run in the order of its life, which an alphabet does not know."""
    here = Path(__file__).parent
    ours = [item for item in items if item.path.parent == here]
    ours.sort(key=lambda item: _LIFE.index(item.path.stem))
    places = [place for place, item in enumerate(items) if item.path.parent == here]
    for place, item in zip(places, ours, strict=True):
        items[place] = item


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """m2, m4-1, m4-2 and a spare m4-3, bare when the first test gets them."""
    index, system = int(os.environ.get(_INDEX, "0")), os.environ.get(_SYSTEM, DEFAULT_SYSTEM)
    with running_lab(index, (*_HOSTS, _SPARE), system) as lab:
        yield lab


@pytest.fixture(scope="session")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Has written an inventory, and deployed nothing yet."""
    folder = tmp_path_factory.mktemp("operator")
    operator = Operator(folder / "lab", {"XDG_CONFIG_HOME": str(folder / "config")})  # a user of nothing else
    workers = [f"--worker={name}={lab.host(name).address}" for name in _HOSTS if name != "m2"]
    said = operator.run("init", str(operator.inventory), f"--control=m2={lab.host('m2').address}", *workers)
    assert said["exit_code"] == 0, said["errors"]
    reached = {name: value for name, value in lab.host("m2").variables.items() if name != "ansible_host"}
    with (operator.inventory / "hosts.yml").open("a") as hosts:  # below the groups of v2t, which come last
        hosts.write(f"    ssh_whisper:\n      hosts:\n        {_WITH_WHISPER}:\n")
    brought = operator.run("artifacts", "fetch", "--only", "whisper-cli")
    assert brought["exit_code"] == 0, brought["errors"]
    settings = yaml.safe_dump(_LAB_SETTINGS | reached)
    (operator.inventory / "group_vars" / "v2t.yml").write_text(settings)
    return operator


@pytest.fixture(scope="session")
def cluster(lab: Lab, operator: Operator) -> Lab:
    """The lab, once it is a cluster."""
    operator.deploy()
    return lab
