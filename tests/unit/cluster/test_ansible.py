from __future__ import annotations

import sys
from pathlib import Path

import pytest

from v2t.cluster.ansible import (
    PlaybookOptions,
    complaint,
    environment,
    find_program,
    find_strategies,
    playbook_command,
    read_configured,
)
from v2t.domain.errors import AnsibleNotInstalled

PROGRAM, HOSTS, SITE = Path("/venv/bin/ansible-playbook"), Path("/inventory/hosts.yml"), Path("/share/site.yml")


def test_a_plain_run_names_the_inventory_and_the_playbook() -> None:
    assert playbook_command(PROGRAM, HOSTS, SITE, PlaybookOptions()) == [
        "/venv/bin/ansible-playbook",
        "--inventory=/inventory/hosts.yml",
        "/share/site.yml",
    ]


def test_every_option_is_carried_through_and_none_of_their_values_can_be_an_option() -> None:
    options = PlaybookOptions(
        check=True, diff=True, limit="--become-user=x", tags="redis,minio", variables={"names": ["m4-2"]}
    )

    assert playbook_command(PROGRAM, HOSTS, SITE, options) == [
        "/venv/bin/ansible-playbook",
        "--inventory=/inventory/hosts.yml",
        "--check",
        "--diff",
        "--limit=--become-user=x",
        "--tags=redis,minio",
        '--extra-vars={"names": ["m4-2"]}',
        "/share/site.yml",
    ]


def test_the_environment_is_the_callers_and_what_the_run_relies_on() -> None:
    caller = {"PATH": "/bin", "ANSIBLE_LOG_PATH": "/tmp/x", "ANSIBLE_HOST_KEY_CHECKING": "False"}

    built = environment(
        caller, roles=Path("/share/roles"), configuration=Path("/i/ansible.cfg"), vault_password=Path("/i/password")
    )

    assert built == {
        "PATH": "/bin",
        "ANSIBLE_CONFIG": "/i/ansible.cfg",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "ANSIBLE_FORKS": "20",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_NOCOWS": "True",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_PYTHON_INTERPRETER": "auto_silent",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_SHOW_CUSTOM_STATS": "True",
        "ANSIBLE_ROLES_PATH": "/share/roles",
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=120s",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl",
        "ANSIBLE_TIMEOUT": "20",
        "ANSIBLE_VAULT_PASSWORD_FILE": "/i/password",
        "PYTHONUNBUFFERED": "1",
    }


def test_where_mitogen_is_installed_its_strategy_is_used_unless_the_operator_has_chosen_one() -> None:
    def strategy(caller: dict[str, str], configured: frozenset[tuple[str, str]] = frozenset()) -> str | None:
        built = environment(caller, roles=Path("/roles"), configured=configured, strategies=Path("/mitogen"))
        assert (built.get("ANSIBLE_STRATEGY_PLUGINS") == "/mitogen") == (
            built.get("ANSIBLE_STRATEGY") == "mitogen_linear"
        )
        return built.get("ANSIBLE_STRATEGY")

    assert strategy({}) == "mitogen_linear"
    assert strategy({"ANSIBLE_STRATEGY": "linear"}) == "linear"
    assert strategy({}, frozenset({("defaults", "strategy")})) is None
    assert (found := find_strategies())
    assert (found / "mitogen_linear.py").is_file()


def test_the_operators_own_tuning_wins_in_the_environment_and_in_the_configuration(tmp_path: Path) -> None:
    configuration = tmp_path / "ansible.cfg"
    configuration.write_text("[defaults]\nforks = 3\n[ssh_connection]\npipelining = False\n")

    built = environment(
        {"ANSIBLE_TIMEOUT": "5"},
        roles=Path("/roles"),
        configuration=configuration,
        configured=read_configured(configuration),
    )

    assert built["ANSIBLE_TIMEOUT"] == "5"
    assert "ANSIBLE_FORKS" not in built
    assert "ANSIBLE_PIPELINING" not in built


def test_a_configuration_that_is_not_valid_is_left_to_ansible(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("forks = 3\n")

    assert read_configured(tmp_path / "ansible.cfg") == frozenset()


def test_a_program_beside_this_python_comes_first_and_a_missing_one_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ansible-vault").touch()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "")

    assert find_program("ansible-vault") == tmp_path / "ansible-vault"
    with pytest.raises(AnsibleNotInstalled, match=r"v2t\[cluster\]"):
        find_program("ansible-playbook")


@pytest.mark.parametrize(
    ("talk", "line"),
    [
        ("[WARNING]: old\n[ERROR]: no x.yml here\nmore\n", "no x.yml here"),
        ("Traceback\nValueError: no\n\n", "ValueError: no"),
        ("", "it said nothing"),
    ],
)  # fmt: skip
def test_of_ansibles_talk_the_line_that_says_what_is_wrong_is_taken(talk: str, line: str) -> None:
    assert complaint(talk) == line
