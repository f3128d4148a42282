"""The rules that the role firewall writes, for services that are spread over several hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).parents[2] / "roles" / "firewall"
ADDRESSES = {"one": "10.0.0.1", "two": "10.0.0.2", "three": "fd00::3", "four": "10.0.0.4"}
GROUPS = {
    "postgresql": ["one"],
    "temporal": ["one"],
    "minio": ["one", "two", "three"],
    "redis": ["two"],
    "loadbalancer": ["two"],
    "monitoring": ["two"],
    "workers": ["three", "four"],
    "ssh_whisper": ["one"],
}
SETTINGS = {
    "firewall_clients": ["10.0.0.0/8"],
    "firewall_administrators": ["198.51.100.0/24", "2001:db8::/32"],
    "firewall_more": [{"ports": "51820", "protocol": "udp", "from": ["0.0.0.0/0"]}],
    "worker_instances": 3,
}


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Host → the rules it gets."""
    folder = tmp_path_factory.mktemp("rules")
    hosts: dict[str, Any] = {name: {"v2t_address": address} for name, address in ADDRESSES.items()}
    groups = {name: {"hosts": dict.fromkeys(members)} for name, members in GROUPS.items()}
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text("utf-8"))
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"v2t": {"hosts": hosts, "children": groups, "vars": {**defaults, **SETTINGS, **local}}}
    template = {"src": str(ROLE / "templates" / "firewall.nft.j2"), "dest": f"{folder}/{{{{ inventory_hostname }}}}"}
    play = {
        "hosts": "v2t",
        "gather_facts": False,
        "vars_files": [str(ROLE / "vars" / "main.yml")],
        "tasks": [{"ansible.builtin.template": {**template, "mode": "0644"}}],
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "-i", str(folder / "hosts.yml"), str(folder / "play.yml")]
    done = subprocess.run(command, env={**os.environ, "HOME": str(folder)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: (folder / name).read_text() for name in ADDRESSES}


def let_in(text: str, ports: str) -> set[str]:
    """Who may come to these ports."""
    found = re.findall(rf"saddr {{ (.*) }} \w+ dport {{ {ports} }} accept", text)
    return {address for sources in found for address in sources.split(", ")}


def test_a_port_is_open_on_the_hosts_of_its_service_only(rules: dict[str, str]) -> None:
    assert {host for host, text in rules.items() if let_in(text, "5432")} == {"one"}
    assert {host for host, text in rules.items() if let_in(text, "6379")} == {"two"}


def test_a_port_is_open_to_the_groups_of_its_row_and_to_those_named_besides(rules: dict[str, str]) -> None:
    assert let_in(rules["two"], "6379") == {"10.0.0.4", "fd00::3"}
    assert let_in(rules["one"], "7233") == {"10.0.0.4", "fd00::3", "10.0.0.0/8"}
    assert let_in(rules["three"], "9100") == {"10.0.0.2"}


def test_a_host_has_no_rule_for_itself(rules: dict[str, str]) -> None:
    assert "10.0.0.2" not in rules["two"]


def test_a_network_and_a_host_in_it_stand_in_rules_of_their_own(rules: dict[str, str]) -> None:
    assert "ip saddr { 10.0.0.4 } tcp dport { 7233 } accept" in rules["one"]
    assert "ip saddr { 10.0.0.0/8 } tcp dport { 7233 } accept" in rules["one"]


def test_each_host_has_one_node_of_an_object_store_of_several_hosts(rules: dict[str, str]) -> None:
    assert let_in(rules["one"], "9011") == {"10.0.0.2", "fd00::3"}


def test_every_worker_of_a_host_can_be_watched(rules: dict[str, str]) -> None:
    assert let_in(rules["four"], "8081, 8082, 8083") == {"10.0.0.2"}


def test_clients_reach_what_is_for_them_and_nothing_else(rules: dict[str, str]) -> None:
    reached = {ports for text in rules.values() for ports in re.findall(r"10\.0\.0\.0/8 } tcp dport { (.*) }", text)}
    assert reached == {"443", "5432", "7233", "9000"}


def test_administrators_reach_what_is_theirs_and_nobody_else_does(rules: dict[str, str]) -> None:
    for ports in ("22", "9090", "3000"):
        assert let_in(rules["two"], ports) == {"198.51.100.0/24", "2001:db8::/32"}
    assert "tcp dport 22 accept" not in re.sub(r"saddr .*", "", rules["two"])


def test_workers_reach_ssh_where_they_run_whisper(rules: dict[str, str]) -> None:
    administrators = {"198.51.100.0/24", "2001:db8::/32"}
    assert let_in(rules["one"], "22") == administrators | {"10.0.0.4", "fd00::3"}


def test_families_of_addresses_have_rules_of_their_own(rules: dict[str, str]) -> None:
    assert "ip6 saddr { fd00::3 } tcp dport { 6379 } accept" in rules["two"]
    assert "ip saddr { 10.0.0.4 } tcp dport { 6379 } accept" in rules["two"]


def test_what_is_not_of_the_cluster_can_be_let_in(rules: dict[str, str]) -> None:
    assert "ip saddr { 0.0.0.0/0 } udp dport { 51820 } accept" in rules["four"]
