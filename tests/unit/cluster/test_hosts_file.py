from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from v2t.cluster.hosts_file import edited, mark_machine, remove_machine
from v2t.cluster.journal import hold_cluster
from v2t.cluster.machines import Machine, add_machines, render_hosts
from v2t.domain.errors import ClusterBusy, InventoryInvalid, UsageError

CONTROL, FIRST, SECOND = Machine("m2", "10.0.0.2"), Machine("m4-1", "10.0.0.41"), Machine("m4-2", "10.0.0.42")
ONE = render_hosts(CONTROL, [FIRST], "root")
TWO = render_hosts(CONTROL, [FIRST, SECOND], "root")


def test_a_host_that_was_added_and_removed_leaves_the_file_as_it_was() -> None:
    before = ONE.replace("    m4-1:\n", "    m4-1:  # loud\n", 1) + "# the end\n"
    after, _ = add_machines(before, None, [SECOND])

    assert remove_machine(after, "m4-2") == before


def test_a_removed_host_takes_its_variables_and_its_places_in_groups_along() -> None:
    before = TWO.replace("10.0.0.42\n", "10.0.0.42\n      labels:\n        rack: 7\n").replace(
        "    control:\n", "    rack:\n      hosts:\n        m4-2:\n        m4-1:\n    control:\n"
    )

    after = yaml.safe_load(remove_machine(before, "m4-2"))["v2t"]

    assert set(after["hosts"]) == {"m2", "m4-1"}
    assert after["children"]["workers"]["hosts"] == {"m4-1": None}
    assert after["children"]["rack"]["hosts"] == {"m4-1": None}


def test_the_last_host_of_a_group_leaves_it_empty() -> None:
    assert yaml.safe_load(remove_machine(ONE, "m4-1"))["v2t"]["children"]["workers"] == {"hosts": None}


def test_a_name_that_another_begins_with_is_not_mistaken_for_it() -> None:
    before, _ = add_machines(TWO, None, [Machine("m4-22", "10.0.0.22")])

    assert set(yaml.safe_load(remove_machine(before, "m4-2"))["v2t"]["hosts"]) == {"m2", "m4-1", "m4-22"}


def test_a_variable_is_set_changed_and_taken_away_again() -> None:
    marked = mark_machine(TWO, "m4-1", "worker_drained", True)

    assert marked == TWO.replace("10.0.0.41\n", "10.0.0.41\n      worker_drained: true\n")
    assert mark_machine(marked, "m4-1", "worker_drained", False) == marked.replace("true", "false")
    assert mark_machine(marked, "m4-1", "worker_drained", None) == TWO
    assert mark_machine(TWO, "m4-1", "worker_drained", None) == TWO


def test_a_release_that_looks_like_a_number_stays_a_text() -> None:
    marked = mark_machine(TWO, "m4-2", "worker_release", "0.1")

    assert yaml.safe_load(marked)["v2t"]["hosts"]["m4-2"]["worker_release"] == "0.1"


def test_a_host_without_variables_gets_its_first() -> None:
    before = ONE.replace("    m4-1:\n      ansible_host: 10.0.0.41\n", "    m4-1:\n")

    assert yaml.safe_load(mark_machine(before, "m4-1", "x", "y"))["v2t"]["hosts"]["m4-1"] == {"x": "y"}


@pytest.mark.parametrize("name", ["m4-9", "workers"])
def test_a_host_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not in hosts"):
        remove_machine(TWO, name)
    with pytest.raises(UsageError, match="is not in hosts"):
        mark_machine(TWO, name, "x", "y")


def test_a_file_whose_lines_hold_several_things_is_left_alone() -> None:
    before = TWO.replace("    m4-2:\n      ansible_host: 10.0.0.42\n", "    m4-2: {ansible_host: 10.0.0.42, a: b}\n")

    assert "m4-2" not in remove_machine(before, "m4-2")
    with pytest.raises(InventoryInvalid, match="by hand"):
        mark_machine(before, "m4-2", "x", "y")


def test_the_file_is_as_before_where_another_operator_is_at_work(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(ONE)

    with edited(path, TWO):
        assert path.read_text() == TWO
    assert path.read_text() == TWO

    now = datetime.now(UTC)
    with hold_cluster(tmp_path, "first", now), pytest.raises(ClusterBusy, match="first"):  # noqa: SIM117
        with edited(path, ONE), hold_cluster(tmp_path, "second", now):
            pass
    assert path.read_text() == TWO
