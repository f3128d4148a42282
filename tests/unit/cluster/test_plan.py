from __future__ import annotations

from pathlib import Path

import pytest

from v2t.cluster.plan import Change, Restart, Risk, make_plan, read_roles
from v2t.cluster.progress import Outcome
from v2t.cluster.shipped import shipped

_CACHE = {
    "handlers/main.yml": "- name: Restart Redis\n- name: Reload Redis\n",
    "tasks/main.yml": """
- name: Guard
  block:
    - name: Write the settings
      notify: Restart Redis
    - name: Write the account of {{ item }}
      notify: [Reload Redis]
- name: Make the folder
""",
}
_KEYS = {"tasks/certificate.yml": '- name: Write the certificate\n  notify: "{{ pki_certificate_notify }}"\n'}
_ROLES = {"redis": _CACHE, "pki": _KEYS, "temporal": {"tasks/schema.yml": '- name: "Update {{ item.database }}"\n'}}


@pytest.fixture
def roles(tmp_path: Path) -> Path:
    for role, files in _ROLES.items():
        for name, text in files.items():
            path = tmp_path / role / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return tmp_path


def _outcomes(*lines: str) -> list[Outcome]:
    """`host state role : task`, as a run reports them."""
    return [Outcome(host, task, state, {}) for host, state, task in (line.split(" ", 2) for line in lines)]


def test_a_change_that_wakes_a_restart_is_marked_with_what_it_means(roles: Path) -> None:
    changes, restarts = make_plan(
        _outcomes(
            "m2 changed redis : Write the settings",
            "m2 changed redis : Make the folder",
            "m3 ok redis : Write the settings",
            "m2 skipped redis : Restart Redis",
        ),
        read_roles(roles),
    )

    effect = "the cache is away for a moment"
    assert changes == [
        Change("m2", "redis", "Write the settings", Risk.RESTART, effect),
        Change("m2", "redis", "Make the folder", Risk.NONE),
    ]
    assert restarts == [Restart("m2", "redis", "Restart Redis", effect)]


def test_a_reload_and_a_handler_that_was_not_woken_there_are_no_risk(roles: Path) -> None:
    changes, restarts = make_plan(
        _outcomes(
            "m2 changed redis : Write the account of worker",
            "m2 skipped redis : Reload Redis",
            "m3 changed redis : Write the settings",
        ),
        read_roles(roles),
    )

    assert [change.risk for change in changes] == [Risk.NONE, Risk.NONE]
    assert restarts == []


def test_a_certificate_restarts_what_the_role_that_asked_for_it_restarts(roles: Path) -> None:
    changes, _ = make_plan(
        _outcomes(
            "m2 changed pki : Write the certificate",
            "m2 ok temporal : Update x",
            "m2 changed pki : Write the certificate",
            "m2 ok redis : Write the settings",
            "m2 skipped redis : Restart Redis",
        ),
        read_roles(roles),
    )

    assert [change.risk for change in changes] == [Risk.NONE, Risk.RESTART]


def test_a_schema_that_changes_is_a_matter_of_data(roles: Path) -> None:
    (change,), _ = make_plan(_outcomes("m2 changed temporal : Update temporal_visibility"), read_roles(roles))

    assert (change.risk, change.effect) == (Risk.DATA, "the schema of Temporal's databases changes")


def test_a_handler_that_would_change_something_is_no_change_of_its_own(roles: Path) -> None:
    changes, restarts = make_plan(_outcomes("m2 changed redis : Restart Redis"), read_roles(roles))

    assert (changes, len(restarts)) == ([], 1)


def test_the_roles_of_this_installation_are_read() -> None:
    roles = read_roles(shipped("roles"))

    assert roles["redis"].find("Write the account") == ("configure", ["Restart Redis"])
    assert "Restart Redis" in roles["redis"].handlers
    assert roles["pki"].find("Write the certificate")[1] is None
    assert roles["temporal"].find("Update the schema in temporal")[0] == "schema"
