from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from v2t.cluster.inventory import Inventory
from v2t.cluster.knobs import Knobs
from v2t.cluster.lock import GoToolchain, Lock, Program
from v2t.cluster.machines import SERVICES
from v2t.cluster.secrets import SECRETS, make_secret
from v2t.cluster.validation import Problem, find_problems

LOCK = Lock((Program("minio", "v1", "MIT", "minio", path="/origin"),), GoToolchain("1.24", "go", "1", "BSD", {}))
KNOBS = Knobs(
    {
        **{secret.name: {} for secret in SECRETS},
        "v2t_artifacts": {},
        "v2t_address": {},
        "v2t_architecture": {},
        "redis_port": {"type": "int"},
        "redis_mode": {"choices": ["lru", "lfu"]},
    },
    ("v2t_", "vault_", "redis_"),
)
VALUES = {secret.name: make_secret(secret.kind) for secret in SECRETS}
SPREAD = dict.fromkeys(SERVICES, ("m2",)) | {"workers": ("m4-1",), "control": ("m2",), "v2t": ("m2", "m4-1")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of an inventory, with one gathered program that is not the lock's."""
    (tmp_path / "group_vars/all").mkdir(parents=True)
    (tmp_path / "group_vars/all/vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n")
    (tmp_path / "hosts.yml").write_text("v2t: {}\n")
    return tmp_path


def _problems(
    folder: Path,
    groups: Mapping[str, tuple[str, ...]] = SPREAD,
    everywhere: Mapping[str, Any] | None = None,
    hosts: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Problem]:
    shared = {**VALUES, "v2t_artifacts": str(folder / "artifacts"), **(everywhere or {})}
    addresses = {"m2": {"ansible_host": "10.0.0.2"}, "m4-1": {"ansible_host": "10.0.0.41"}}
    variables = {name: {**shared, **values, **(hosts or {}).get(name, {})} for name, values in addresses.items()}
    found = find_problems(Inventory(folder, variables, groups), KNOBS, LOCK, None)
    return [problem for problem in found if "third-party" not in problem.what]


def test_a_right_inventory_has_no_problems(folder: Path) -> None:
    assert _problems(folder) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"postgresql": ("m2", "m4-1")}, "the group postgresql needs exactly one host, and has m2, m4-1"),
        ({"redis": ()}, "the group redis needs exactly one host, and has none"),
        ({"minio": ("m2", "m4-1")}, "the group minio needs one host, or three and more, and has m2, m4-1"),
        ({"control": ("m2", "m4-1")}, "the group control is for one host that carries all services, and has m2, m4-1"),
        ({"worker": ("m4-1",)}, "no role knows the group worker; did you mean workers?"),
        ({"v2t": ("m2",)}, "m4-1 is in no group of v2t"),
    ],
)
def test_groups_of_the_wrong_size_or_name_are_found(
    folder: Path, change: dict[str, tuple[str, ...]], what: str
) -> None:
    assert _problems(folder, {**SPREAD, **change}) == [Problem("hosts.yml", what)]


def test_groups_of_the_operators_own_are_no_problem(folder: Path) -> None:
    assert _problems(folder, {**SPREAD, "rack_one": ("m4-1",), "all": ("m2", "m4-1")}) == []


def test_twins_and_unreachable_addresses_are_found(folder: Path) -> None:
    hosts = {"m2": {"ansible_host": "127.0.0.1", "v2t_address": "10.9.9.9"}, "m4-1": {"v2t_address": "10.9.9.9"}}

    found = _problems(folder, hosts=hosts)

    assert [problem.what for problem in found] == [
        "m2, ansible_host '127.0.0.1': other hosts cannot reach a loopback address",
        "m2 and m4-1 have the same v2t_address, 10.9.9.9",
    ]


def test_an_address_that_is_an_expression_is_left_to_the_run(folder: Path) -> None:
    assert _problems(folder, everywhere={"v2t_address": "{{ ansible_host }}"}) == []


def test_a_variable_of_no_role_is_found_with_its_line_and_the_one_that_may_be_meant(folder: Path) -> None:
    (folder / "group_vars/redis.yml").write_text("---\n# redis_prot: 1\nredis_prot: 6380\n")

    assert _problems(folder, hosts={"m2": {"redis_prot": 6380, "own_variable": 1}}) == [
        Problem("group_vars/redis.yml:3", "redis_prot is no variable of a role; did you mean redis_port?")
    ]


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("redis_port", "6380", "redis_port must be of type int, and is '6380'"),
        ("redis_port", True, "redis_port must be of type int, and is True"),
        ("redis_mode", "fifo", "redis_mode is 'fifo', and must be one of lru, lfu"),
    ],
)
def test_a_value_of_the_wrong_kind_is_found(folder: Path, name: str, value: object, what: str) -> None:
    assert _problems(folder, everywhere={name: value}) == [Problem("hosts.yml", what)]
    assert _problems(folder, everywhere={name: "{{ other }}"}) == []


def test_missing_weak_and_repeated_secrets_are_found_and_not_told(folder: Path) -> None:
    same = VALUES["vault_redis_password"]
    wrong = {"vault_pki_passphrase": "", "vault_minio_root_password": "hush", "vault_grafana_admin_password": same}

    found = _problems(folder, everywhere=wrong)

    assert [(problem.place, problem.what) for problem in found] == [
        ("group_vars/all/vault.yml", f"vault_pki_passphrase is missing; `v2t cluster init {folder}` makes it"),
        ("group_vars/all/vault.yml", "vault_minio_root_password has 4 characters, and needs 16 to 40"),
        ("group_vars/all/vault.yml", "vault_redis_password and vault_grafana_admin_password are the same"),
    ]


def test_a_vault_that_anybody_reads_is_found(folder: Path) -> None:
    (folder / "group_vars/all/vault.yml").write_text("vault_redis_password: x\n")

    assert [problem.what for problem in _problems(folder)] == [
        f"is not encrypted; `v2t cluster init {folder}` encrypts it"
    ]


def test_a_password_that_others_read_is_found(folder: Path) -> None:
    password = folder / ".vault-password"
    password.touch(mode=0o644)
    password.chmod(0o644)

    found = find_problems(Inventory(folder, {"m2": VALUES}, {"v2t": ("m2",)}), KNOBS, LOCK, password)

    assert f"other users of this machine can read it; `chmod 600 {password}`" in [problem.what for problem in found]


def test_programs_are_looked_for_by_the_hosts_architecture(folder: Path) -> None:
    program = folder / "artifacts/arm64/minio/minio"

    assert _problems(folder, everywhere={"v2t_architecture": "arm64"}) == [
        Problem(str(program), "minio is missing; `v2t cluster artifacts fetch --arch arm64` brings it")
    ]


def test_a_folder_that_an_attempt_to_gather_left_empty_asks_for_nothing(folder: Path) -> None:
    (folder / "artifacts/arm64").mkdir(parents=True)

    assert _problems(folder) == []


@pytest.mark.parametrize("hosts", [(), ("m4-1",)])
def test_a_program_of_a_group_is_missed_where_the_group_has_hosts(folder: Path, hosts: tuple[str, ...]) -> None:
    program = Program("whisper-cli", "v1", "MIT", "whisper-cli", path="/origin", group="ssh_whisper")
    shared = {**VALUES, "v2t_artifacts": str(folder), "v2t_architecture": "amd64", "v2t_address": "10.0.0.2"}
    inventory = Inventory(folder, {"m2": shared}, {"v2t": ("m2",), "ssh_whisper": hosts})

    found = find_problems(inventory, KNOBS, Lock((program,), LOCK.toolchain), None)

    command = "v2t cluster artifacts fetch --only whisper-cli --arch amd64"
    missed = [problem for problem in found if problem.what == f"whisper-cli is missing; `{command}` brings it"]
    assert len(missed) == len(hosts)
