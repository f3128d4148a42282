"""A lab for all cluster tests of a run, and the operator who deploys on it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import yaml
from support.lab import Lab, running_lab
from support.operator import Operator

_INDEX = "V2T_TEST_LAB"
"""Index of the lab, 0 to 9, for those who run the tests twice at once on one machine."""

_LAB_SETTINGS = {
    "minio_allow_root_disk": True,
    "worker_instances": 1,
    "worker_memory_max": "3G",
    "worker_model": "tiny.en",
}
"""What only a lab needs."""


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """m2, m4-1 and m4-2, bare when the first test gets them; a test that leaves something on them says what."""
    with running_lab(int(os.environ.get(_INDEX, "0"))) as lab:
        yield lab


@pytest.fixture(scope="session")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Has written an inventory, and deployed nothing yet."""
    operator = Operator(tmp_path_factory.mktemp("operator") / "lab")
    workers = [f"--worker={name}={lab.host(name).address}" for name in lab.hosts if name != "m2"]
    said = operator.run("init", str(operator.inventory), f"--control=m2={lab.host('m2').address}", *workers)
    assert said["exit_code"] == 0, said["errors"]
    reached = {name: value for name, value in lab.host("m2").variables.items() if name != "ansible_host"}
    settings = yaml.safe_dump(_LAB_SETTINGS | reached)
    (operator.inventory / "group_vars" / "v2t.yml").write_text(settings)
    return operator


@pytest.fixture(scope="session")
def cluster(lab: Lab, operator: Operator) -> Lab:
    """The lab, once it is a cluster."""
    operator.deploy()
    return lab
