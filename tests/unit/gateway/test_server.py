from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence

import httpx
import pytest

from v2t.config import Settings
from v2t.config.cluster import TemporalSettings, UploadsSettings
from v2t.domain.batches import UploadRef
from v2t.domain.errors import ClusterUnreachable, ConfigurationError, PortInUse
from v2t.gateway.server import UploadsApi, serve

TOKEN = "tell-nobody"  # noqa: S105 - of this test only
BODY = json.dumps(
    {
        "Records": [
            {
                "eventName": "s3:ObjectCreated:Put",
                "s3": {"bucket": {"name": "v2t-audio"}, "object": {"key": "incoming%2Fada%2Fa.wav", "eTag": "1"}},
            }
        ]
    }
).encode()


class FakeIntake:
    def __init__(self) -> None:
        self.is_up = True
        self.taken: list[UploadRef] = []

    async def take(self, uploads: Sequence[UploadRef]) -> None:
        if not self.is_up:
            raise ClusterUnreachable
        self.taken += uploads

    async def answers(self) -> bool:
        return self.is_up


@pytest.fixture
def intake() -> FakeIntake:
    return FakeIntake()


async def post(
    intake: FakeIntake, body: bytes = BODY, *, token: str = f"Bearer {TOKEN}", path: str = "/uploads"
) -> httpx.Response:
    api = UploadsApi(intake, TOKEN, "v2t-audio")  # type: ignore[arg-type]
    transport = httpx.ASGITransport(api.application)
    headers = {b"Authorization": token.encode("latin-1")} if token else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.post(path, content=body, headers=headers)


async def test_a_notification_is_answered_once_it_is_accepted(intake: FakeIntake) -> None:
    answer = await post(intake)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1})
    assert [upload.key for upload in intake.taken] == ["incoming/ada/a.wav"]


@pytest.mark.parametrize(
    "token", ["", "Bearer", "Bearer wrong", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ü"]
)
async def test_without_the_token_nothing_is_taken(intake: FakeIntake, token: str) -> None:
    answer = await post(intake, token=token)
    assert answer.status_code == 401
    assert TOKEN not in answer.text
    assert intake.taken == []


async def test_the_store_is_asked_to_send_it_again_while_temporal_is_gone(intake: FakeIntake) -> None:
    intake.is_up = False
    assert (await post(intake)).status_code == 503
    intake.is_up = True
    assert (await post(intake)).status_code == 200


async def test_garbage_is_refused(intake: FakeIntake) -> None:
    assert (await post(intake, b"garbage")).status_code == 400


async def test_a_body_without_end_is_refused(intake: FakeIntake) -> None:
    assert (await post(intake, b" " * (1024 * 1024 + 1))).status_code == 413


async def test_a_test_message_is_accepted(intake: FakeIntake) -> None:
    assert (await post(intake, b'{"Records": []}')).json() == {"accepted": 0}


async def test_other_paths_and_methods(intake: FakeIntake) -> None:
    assert (await post(intake, path="/")).status_code == 404
    assert (await post(intake, path="/health")).status_code == 405


def settings(**uploads: object) -> Settings:
    return Settings(
        temporal=TemporalSettings(address="127.0.0.1:1"), uploads=UploadsSettings.model_validate(uploads or {})
    )


async def test_no_token_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigurationError, match=r"uploads\.token is not set"):
        await serve(settings(), print)


async def test_no_cluster_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigurationError, match=r"temporal\.address is not set"):
        await serve(Settings(uploads=UploadsSettings.model_validate({"token": TOKEN})), print)


async def test_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortInUse, match=r"uploads\.listen_port"):
        await serve(settings(token=TOKEN, listen_port=other.getsockname()[1]), print)


async def test_it_serves_while_temporal_is_gone() -> None:
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(settings(token=TOKEN, listen_port=0), ready.set_result))
    try:
        url = await asyncio.wait_for(ready, 10)
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30) as client:
            health, answer = await asyncio.gather(client.get("/health"), client.post("/uploads", content=BODY))
        assert health.json() == {"status": "ok", "temporal": False}
        assert answer.status_code == 503
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
