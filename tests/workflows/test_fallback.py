"""Where one provider fails, the next one is asked, and whoever reads the transcript is told."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from support.cluster import NAMESPACE, FakeCluster, ScriptedTranscriber, running_worker
from support.processes import until
from temporalio.common import RetryPolicy

from v2t.activities.steps import TRIES
from v2t.client import Client
from v2t.domain.errors import (
    CredentialsRefused,
    ProviderBusy,
    ProviderFailed,
    ProviderRejected,
    ProviderResting,
    ProvidersExhausted,
    ProviderUnreachable,
    StorageDamaged,
    V2TError,
)
from v2t.domain.jobs import AUTO, Choice, Cut, CutRequest, JobState, TranscribeRequest
from v2t.domain.ports import OnProgress
from v2t.testing import FakeAudioTools

SHORT = FakeAudioTools(10.0)
LONG = FakeAudioTools(900.0, 60.0)
CHUNKS = 15
"""Of LONG, of which the first window has two."""

Answers = dict[str, Callable[[], str | V2TError]]


@asynccontextmanager
async def chain_of(
    server: str, answers: Answers, tools: FakeAudioTools = SHORT, plan: tuple[Choice, ...] = ()
) -> AsyncIterator[FakeCluster]:
    """A cluster whose providers are asked in the order of `answers`."""
    providers = {
        name: ScriptedTranscriber(lambda _chunk, _attempt, answer=answer: answer(), name)  # type: ignore[misc]
        for name, answer in answers.items()
    }

    async def choose(_request: TranscribeRequest, _seconds: float, _audio: Path | None) -> tuple[Choice, ...]:
        return plan or tuple(Choice(name, f"model of {name}") for name in answers)

    client = await Client.connect(server, NAMESPACE)
    cluster = FakeCluster(client, ScriptedTranscriber(), others=providers, choose=choose)
    async with running_worker(cluster, tools):
        yield cluster


def asked(cluster: FakeCluster) -> dict[str, int]:
    return {name: len(provider.asked) for name, provider in cluster.others.items()}


def untimed(failures: Sequence[str]) -> list[str]:
    """What is told of providers that failed, without how long each took to do so, which stands at the end."""
    divided = [re.fullmatch(r"(.*) \(after (\d+\.\d) s\)", failure) for failure in failures]
    assert all(each and float(each[2]) < 60 for each in divided), failures
    return [each[1] for each in divided if each]


DEAD_DYING_WELL: Answers = {
    "dead": lambda: ProviderUnreachable("nobody answers at 10.0.0.9"),
    "dying": lambda: ProviderFailed("it says 500"),
    "well": lambda: "en",
}


@pytest.mark.usefixtures("quick_retries")
async def test_a_small_file_falls_through_a_dead_and_a_dying_provider_to_the_third(server: str) -> None:
    async with chain_of(server, DEAD_DYING_WELL) as cluster:
        request = await cluster.submit(provider=AUTO)
        result = await cluster.result(request)

    assert (result.provider, result.model, result.words) == ("well", "model of well", 1)
    assert untimed(result.warnings) == ["dead: nobody answers at 10.0.0.9", "dying: it says 500"]
    assert asked(cluster) == {"dead": TRIES, "dying": TRIES, "well": 1}
    record = cluster.records.get(request.job_id)
    assert record is not None
    assert record.provider == "well"
    assert cluster.transcript(request).warnings == result.warnings


@pytest.mark.usefixtures("quick_retries")
async def test_a_provider_that_is_given_up_is_asked_for_no_later_chunk_of_the_file(server: str) -> None:
    class Late(FakeAudioTools):
        async def cut(self, source: object, request: CutRequest, folder: object, on_progress: OnProgress) -> Cut:
            if request.start:
                # after four retries, each of which the server's timers take about a second for
                await until(lambda: asked(cluster)["well"] >= 2, "the first window is transcribed", 25.0)
            return await super().cut(source, request, folder, on_progress)  # type: ignore[arg-type]

    async with chain_of(server, DEAD_DYING_WELL, Late(900.0, 60.0)) as cluster:
        request = await cluster.submit(provider=AUTO)
        result = await cluster.result(request)

    assert result.provider == "well"
    assert asked(cluster) == {"dead": 2 * TRIES, "dying": 2 * TRIES, "well": CHUNKS}
    assert untimed(result.warnings) == ["dead: nobody answers at 10.0.0.9", "dying: it says 500"]


@pytest.mark.parametrize(
    "error",
    [CredentialsRefused("the key is wrong"), ProviderRejected("too long"), ProviderResting("it is left alone", 30.0)],
)
async def test_a_failure_that_will_not_pass_soon_moves_on_at_once(server: str, error: V2TError) -> None:
    async with chain_of(server, {"first": lambda: error, "second": lambda: "en"}) as cluster:
        result = await cluster.result(await cluster.submit(provider=AUTO))

    assert asked(cluster) == {"first": 1, "second": 1}
    assert untimed(result.warnings) == [f"first: {error.message}"]


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("tools", [SHORT, LONG], ids=["short", "long"])
async def test_where_all_fail_the_error_names_each_with_its_reason(server: str, tools: FakeAudioTools) -> None:
    answers: Answers = {"a": lambda: CredentialsRefused("the key is wrong"), "b": lambda: ProviderRejected("too long")}
    async with chain_of(server, answers, tools) as cluster:
        request = await cluster.submit(provider=AUTO)
        with pytest.raises(ProvidersExhausted) as caught:
            await cluster.result(request)

    told = caught.value.message.removeprefix("every provider failed. ")
    assert untimed(told.split("; ")) == ["a: the key is wrong", "b: too long"]
    record = cluster.records.get(request.job_id)
    assert record is not None
    assert (record.state, record.error_code) == (JobState.FAILED, "ProvidersExhausted")
    assert record.error_message == caught.value.message


async def test_the_only_provider_fails_with_its_own_error(server: str) -> None:
    async with chain_of(server, {"only": lambda: CredentialsRefused("the key is wrong")}) as cluster:
        request = await cluster.submit(provider=AUTO)
        with pytest.raises(CredentialsRefused, match="the key is wrong"):
            await cluster.result(request)


async def test_what_is_no_providers_fault_is_not_tried_elsewhere(server: str) -> None:
    async with chain_of(server, {"a": lambda: StorageDamaged("a chunk is damaged"), "b": lambda: "en"}) as cluster:
        with pytest.raises(StorageDamaged):
            await cluster.result(await cluster.submit(provider=AUTO))
    assert asked(cluster)["b"] == 0


async def test_a_provider_whose_workers_are_not_free_is_passed_over(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("v2t.workflows.transcribe_file.KIND_WAIT", timedelta(seconds=1))
    plan = (Choice("fast", workers="gpu"), Choice("slow"))
    async with chain_of(server, {"fast": lambda: "en", "slow": lambda: "en"}, SHORT, plan) as cluster:
        result = await cluster.result(await cluster.submit(provider=AUTO))

    assert (result.provider, asked(cluster)["fast"]) == ("slow", 0)
    assert untimed(result.warnings) == ["fast: no gpu worker was free in time"]


async def test_a_busy_provider_is_asked_again_after_the_time_it_names(server: str, quick_retries: RetryPolicy) -> None:
    first_answers: list[str | V2TError] = ["en", ProviderBusy("too many requests", 1.5)]
    async with chain_of(server, {"busy": first_answers.pop, "other": lambda: "en"}) as cluster:
        request = await cluster.submit(provider=AUTO)
        result = await cluster.result(request)
        attempts = cluster.records.attempts(request.job_id)

    assert result.provider == "busy"
    assert not result.warnings
    first, second = attempts
    assert second.started_at - first.started_at >= 1.5
    assert quick_retries.initial_interval < timedelta(seconds=1), "the wait came from the provider"
