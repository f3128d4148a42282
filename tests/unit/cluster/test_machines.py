from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from v2t.cluster.machines import Machine, add_machines, parse_machine, render_hosts, user_problem
from v2t.domain.errors import InventoryInvalid, UsageError

CONTROL, WORKER, NEW = Machine("m2", "10.0.0.2"), Machine("m4-1", "10.0.0.41"), Machine("m4-2", "10.0.0.42")
SAMPLE = Path(__file__).parents[3] / "inventory" / "sample"


@pytest.mark.parametrize("text", ["m2=10.0.0.2", "m2.example.org=fd00::2", "a=host-1.example.org"])
def test_a_host_has_a_name_and_an_address(text: str) -> None:
    machine = parse_machine(text)

    assert f"{machine.name}={machine.address}" == text


@pytest.mark.parametrize(
    "text",
    [
        "m2", "=10.0.0.2", "m2=", "M2=10.0.0.2", "-oProxyCommand=10.0.0.2", "m2=-oProxyCommand", "a b=10.0.0.2",
        "m2=10.0.0.256", "m2=0.0.0.0", "m2=224.0.0.1", "m2={{ lookup('pipe', 'id') }}", "m2=10.0.0.2\nx: y",
        "m2\n=10.0.0.2", "all=10.0.0.2", "workers=10.0.0.2", "a..b=10.0.0.2", f"{'a' * 64}=10.0.0.2", "m2=a: b",
    ],
)  # fmt: skip
def test_hostile_and_mistaken_hosts_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_machine(text)


@pytest.mark.parametrize("user", ["", "Root", "a b", "-l", "x" * 33, "ü", "root\n"])
def test_a_user_is_an_accounts_name(user: str) -> None:
    assert user_problem(user)
    assert not user_problem("operator_1")


def test_the_control_host_carries_every_service_and_the_workers_work() -> None:
    document = yaml.safe_load(render_hosts(CONTROL, [WORKER], "operator"))["v2t"]

    assert document["hosts"] == {"m2": {"ansible_host": "10.0.0.2"}, "m4-1": {"ansible_host": "10.0.0.41"}}
    assert document["vars"] == {"ansible_user": "operator"}
    assert set(document["children"]["control"]["children"]) == {
        "postgresql", "temporal", "minio", "redis", "loadbalancer", "monitoring",
    }  # fmt: skip
    assert {str(group) for group in document["children"]["control"]["children"].values()} == {"{'hosts': {'m2': None}}"}
    assert document["children"]["workers"] == {"hosts": {"m4-1": None}}


def test_a_lone_host_works_as_well() -> None:
    assert yaml.safe_load(render_hosts(CONTROL, [], "root"))["v2t"]["children"]["workers"] == {"hosts": {"m2": None}}


@pytest.mark.parametrize("twin", [Machine("m2", "10.0.0.9"), Machine("m9", "10.0.0.2")])
def test_two_hosts_of_one_name_or_address_are_refused(twin: Machine) -> None:
    with pytest.raises(UsageError, match="same"):
        render_hosts(CONTROL, [twin], "root")


def test_a_worker_is_added_below_the_others_and_comments_stay() -> None:
    before = render_hosts(CONTROL, [WORKER], "root").replace("m4-1:\n    ", "m4-1:  # loud\n    ", 1) + "# the end\n"

    after, added = add_machines(before, CONTROL, [WORKER, NEW])

    assert added == ("m4-2",)
    assert after == before.replace(
        "      ansible_host: 10.0.0.41\n", "      ansible_host: 10.0.0.41\n    m4-2:\n      ansible_host: 10.0.0.42\n"
    ).replace("        m4-1:\n", "        m4-1:\n        m4-2:\n")
    assert add_machines(after, None, [NEW]) == (after, ())


@pytest.mark.parametrize("hosts", ["      hosts: {}\n", "      hosts:\n"])
def test_a_worker_is_added_to_a_group_without_hosts_or_the_file_is_left_alone(hosts: str) -> None:
    before = render_hosts(CONTROL, [], "root").replace("      hosts:\n        m2:\n", hosts, 1)

    if "{}" in hosts:
        with pytest.raises(InventoryInvalid, match="by hand"):
            add_machines(before, None, [NEW])
    else:
        assert yaml.safe_load(add_machines(before, None, [NEW])[0])["v2t"]["children"]["workers"]["hosts"] == {
            "m4-2": None
        }


@pytest.mark.parametrize(
    ("control", "workers"),
    [
        (None, [Machine("m4-1", "10.0.0.99")]),
        (Machine("m3", "10.0.0.3"), []),
        (None, [Machine("m4-9", "10.0.0.2")]),
    ],
)
def test_what_contradicts_the_inventory_is_refused(control: Machine | None, workers: list[Machine]) -> None:
    with pytest.raises(UsageError):
        add_machines(render_hosts(CONTROL, [WORKER], "root"), control, workers)


@pytest.mark.parametrize("text", ["", "[", "all:\n  hosts:\n    a:\n", "v2t: {hosts: {}}"])
def test_a_file_of_another_shape_is_left_alone(text: str) -> None:
    with pytest.raises(InventoryInvalid):
        add_machines(text, None, [NEW])


def test_the_sample_is_what_the_command_writes() -> None:
    assert (SAMPLE / "hosts.yml").read_text(encoding="utf-8") == render_hosts(CONTROL, [WORKER, NEW], "root")
    template = SAMPLE.parents[1] / "templates" / "inventory" / "main.yml"
    for inventory in (SAMPLE, SAMPLE.parent / "lab"):
        assert (inventory / "group_vars/all/main.yml").read_text() == template.read_text()
