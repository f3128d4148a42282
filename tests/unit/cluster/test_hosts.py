from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from v2t.cluster.hosts import (
    Answer,
    Host,
    as_root,
    ask,
    ask_all,
    choose_hosts,
    parse_host,
    read_hosts,
    ssh_command,
    stream,
)
from v2t.domain.errors import InventoryInvalid, UsageError

_HOSTS = """
v2t:
  vars: {ansible_user: operator}
  hosts:
    m2: {ansible_host: 10.0.0.2, ansible_ssh_private_key_file: "{{ lookup('ansible.builtin.env', 'KEYS') }}/key"}
    m4-1:
      worker_drained: true
      ansible_host: 10.0.0.41
      ansible_port: 2222
      ansible_ssh_common_args: -o ProxyJump="jump er"
  children:
    workers: {hosts: {m4-1: }}
"""
_LOCAL = [Host("a", ("workers",), is_local=True), Host("b", is_local=True)]
_REACHED = {
    "host": "10.0.0.2",
    "port": None,
    "remote_user": "operator",
    "private_key_file": "/keys/key",
    "ssh_args": "-C",
    "ssh_common_args": "-o 'ProxyCommand=nc %h'",
    "ssh_extra_args": "",
}


def _told(**changes: Any) -> dict[str, Any]:
    return {"groups": ["v2t"], "local": False, "drained": False, "reached": _REACHED | changes}


def test_ansible_says_how_hosts_are_reached_expressions_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hosts.yml").write_text(_HOSTS)
    (tmp_path / "ansible.cfg").write_text("[ssh_connection]\nssh_args = -C\n")
    monkeypatch.setenv("KEYS", "/keys")

    m2, m4 = read_hosts(tmp_path, None)

    assert m2 == Host("m2", ("v2t",), "10.0.0.2", None, "operator", "/keys/key", ("-C",))
    assert (m4.groups, m4.is_drained) == (("v2t", "workers"), True)
    assert (m4.port, m4.options) == (2222, ("-C", "-o", "ProxyJump=jump er"))


def test_an_inventory_that_ansible_cannot_evaluate_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("v2t: {hosts: {m2: {ansible_host: '{{ nothing_of_this_name }}'}}}\n")

    with pytest.raises(InventoryInvalid, match=r"nothing_of_this_name.*`v2t cluster validate`"):
        read_hosts(tmp_path, None)


def test_the_argument_list_checks_host_keys_first_and_ends_options_before_the_address() -> None:
    command = ssh_command(parse_host("m2", _told(port=22)), "df -h | tail")

    assert command == [
        *("ssh", "-o", "StrictHostKeyChecking=yes", "-o", "ControlMaster=no", "-T", "-o", "BatchMode=yes"),
        *("-C", "-o", "ProxyCommand=nc %h"),
        *("-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"),
        *("-p", "22", "-l", "operator", "-i", "/keys/key", "--", "10.0.0.2", "sh -c 'df -h | tail'"),
    ]


def test_a_login_may_ask_and_a_command_before_a_terminal_gets_one() -> None:
    host = Host("m2", address="10.0.0.2")

    assert "BatchMode=yes" not in (login := ssh_command(host, terminal=True))
    assert login[-2:] == ["--", "10.0.0.2"]
    assert "-t" in ssh_command(host, "top", terminal=True)


@pytest.mark.parametrize("address", ["-oProxyCommand=touch /tmp/x", "", "a b", "a\nb"])
def test_an_address_that_ssh_could_take_for_more_is_refused(address: str) -> None:
    with pytest.raises(InventoryInvalid, match="m2: ansible_host"):
        parse_host("m2", _told(host=address))


@pytest.mark.parametrize("wrong", [{"port": "22 -v"}, {"ssh_common_args": "-o 'open"}])
def test_ssh_settings_that_are_none_are_told(wrong: dict[str, str]) -> None:
    with pytest.raises(InventoryInvalid, match="m2: the SSH settings"):
        parse_host("m2", _told(**wrong))


def test_an_account_that_looks_like_an_option_stays_an_argument() -> None:
    command = ssh_command(Host("m2", address="10.0.0.2", user="-oProxyCommand=x", key="-F/tmp/x"))

    assert command[command.index("-l") + 1] == "-oProxyCommand=x"
    assert command[command.index("-i") + 1] == "-F/tmp/x"


def test_hosts_are_chosen_by_name_and_group() -> None:
    assert choose_hosts(_LOCAL, []) == _LOCAL
    assert choose_hosts(_LOCAL, ["workers"]) == _LOCAL[:1]
    assert choose_hosts(_LOCAL, ["b", "workers"]) == _LOCAL
    with pytest.raises(UsageError, match="no host or group 'c'; it has a, b, workers"):
        choose_hosts(_LOCAL, ["c"])


def test_a_command_runs_on_each_host_and_answers_in_their_order() -> None:
    answers = ask_all(_LOCAL, "cat; echo wrong >&2; exit 3", standard_input="read")

    assert answers == [Answer(name, 3, "read", "wrong\n") for name in ("a", "b")]


def test_root_runs_a_command_as_it_is() -> None:
    if os.geteuid():
        pytest.skip("sudo would be asked")
    assert ask(_LOCAL[0], as_root("id --user")).stdout == "0\n"


def test_a_host_that_takes_too_long_counts_as_unreachable() -> None:
    error = ask(_LOCAL[0], "exec sleep 20", seconds=0.1).unreachable()

    assert error is not None
    assert error.message.startswith("a: it has not answered within 0 s; `v2t cluster doctor`")
    assert Answer("a", 1).unreachable() is None


def test_lines_of_several_hosts_come_as_they_are_said() -> None:
    seen: list[tuple[str, str]] = []

    answers = stream(_LOCAL, "echo out; echo err >&2; exit 4", lambda host, line: seen.append((host.name, line)))

    assert sorted(seen) == [("a", "err"), ("a", "out"), ("b", "err"), ("b", "out")]
    assert [(answer.exit_code, answer.stderr) for answer in answers] == [(4, "err"), (4, "err")]


def test_an_interruption_ends_what_is_followed(tmp_path: Path) -> None:
    def interrupt(_host: Host, line: str) -> None:
        (tmp_path / "process").write_text(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream(_LOCAL[:1], "echo $$; exec sleep 60", interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "process").read_text()), 0)
