from __future__ import annotations

from pathlib import Path

import pytest

from v2t.config import load_settings
from v2t.worker.asked import asked_providers
from v2t.worker.runtime import Asked, Role
from v2t.worker.watch import BOOKKEEPING, ENGINE, PROVIDER, TaskWatch

SETTINGS = """
[openai]
api_key = "key"
requests_per_minute = 90

[whisper_server]
url = "http://10.0.0.7:8080"
requests = 2

[ssh_whisper]
hosts = ["m4-1", "m4-2"]
requests_per_host = 3

[worker]
remote_slots = 12
"""


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v2t.toml").write_text(SETTINGS)
    monkeypatch.setenv("V2T_CONFIG", str(tmp_path / "v2t.toml"))


def test_a_worker_asks_those_that_are_set_up_each_within_its_limits() -> None:
    assert set(asked_providers(load_settings())) == {
        Asked("openai", 12, 1.5),
        Asked("whisper_server", 2),
        Asked("ssh_whisper", 6),
    }


def test_what_a_service_takes_at_once_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2T_ELEVENLABS__API_KEY", "key")
    monkeypatch.setenv("V2T_OPENAI__REQUESTS_AT_ONCE", "5")
    monkeypatch.setenv("V2T_OPENAI__REQUESTS_PER_MINUTE", "0")
    asked = {one.provider: one for one in asked_providers(load_settings())}
    assert asked["openai"] == Asked("openai", 5)
    assert asked["elevenlabs"] == Asked("elevenlabs", 8, 2.0), "what its smallest account allows"


def test_remote_workers_take_the_calls_of_providers_from_other_queues_than_the_rest() -> None:
    asked = (Asked("openai", 4),)
    assert Role("remote", "m1", asked=asked).queues == ("v2t", "v2t-host-m1", "v2t-remote", "v2t-remote-openai")
    assert Role("gpu", asked=asked).queues == ("v2t", "v2t-gpu", "v2t-cpu", "v2t-cpu-openai")


def test_calls_of_providers_take_no_slot_of_an_engine() -> None:
    role = Role(asked=(Asked("openai", 4),))
    watch = TaskWatch({ENGINE: 2, BOOKKEEPING: 8, PROVIDER: 4}, role.computing_queues, role.asking_queues)
    assert [watch.kind_of(queue) for queue in role.queues] == [BOOKKEEPING, ENGINE, PROVIDER]
