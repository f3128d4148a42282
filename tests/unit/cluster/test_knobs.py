from __future__ import annotations

from pathlib import Path

import pytest

from v2t.cluster.knobs import read_knobs
from v2t.cluster.shipped import shipped
from v2t.domain.errors import ConfigurationError

_SPECS = """
argument_specs:
  main: {options: {redis_port: {type: int}, redis_list: {type: list}, redis_share: {type: float}}}
  certificate: {options: {redis_usages: {type: list}}}
"""


@pytest.fixture
def roles(tmp_path: Path) -> Path:
    (tmp_path / "redis/meta").mkdir(parents=True)
    (tmp_path / "redis/defaults").mkdir()
    (tmp_path / "redis/meta/argument_specs.yml").write_text(_SPECS)
    (tmp_path / "redis/defaults/main.yml").write_text("redis_port: 6379\nredis_other: 1\n")
    (tmp_path / "bare").mkdir()
    (tmp_path / "README.md").touch()
    return tmp_path


def test_what_specs_and_defaults_name_may_be_set(roles: Path) -> None:
    knobs = read_knobs(roles)

    for name, value in (
        ("redis_port", 1),
        ("redis_other", "x"),
        ("redis_usages", []),
        ("redis_share", 1),
        ("v2t_name", "a"),
    ):
        assert knobs.problem(name, value) == ""


def test_another_variable_of_a_role_is_a_mistake_and_one_of_nobody_is_not(roles: Path) -> None:
    knobs = read_knobs(roles)

    assert knobs.problem("redis_shre", 1) == "redis_shre is no variable of a role; did you mean redis_share?"
    assert "no variable" in knobs.problem("vault_redis_pasword", "x")
    assert knobs.problem("rack", 1) == ""
    assert knobs.problem("bare_metal", 1)


@pytest.mark.parametrize(
    ("name", "value"), [("redis_port", "1"), ("redis_port", True), ("redis_list", "a"), ("redis_share", "1")]
)
def test_a_value_of_another_type_is_a_mistake(roles: Path, name: str, value: object) -> None:
    assert "must be of type" in read_knobs(roles).problem(name, value)


def test_a_damaged_role_is_named(roles: Path) -> None:
    (roles / "redis/defaults/main.yml").write_text("a: [")

    with pytest.raises(ConfigurationError, match=r"redis/defaults/main\.yml cannot be read"):
        read_knobs(roles)


def test_the_roles_of_this_installation_can_be_read() -> None:
    assert "v2t_address" in read_knobs(shipped("roles")).options
