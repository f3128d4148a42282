from __future__ import annotations

from support.cluster import NAMESPACE
from temporalio.service import GrpcCompression

from v2t.client import Client


async def test_messages_of_a_few_hundred_bytes_are_not_compressed(server: str) -> None:
    client = await Client.connect(server, NAMESPACE)
    await client.ping()
    assert client.temporal.service_client.config.grpc_compression is GrpcCompression.NONE
