from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2t.client import Client, TlsFiles
from v2t.domain.errors import ClusterUnreachable, ConfigurationError


@pytest.fixture
def plain_server() -> Iterator[str]:
    """Answers everybody with words that are no TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        ended = threading.Event()

        def answer() -> None:
            while not ended.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.recv(1024)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        ended.set()
        thread.join()


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with pytest.raises(ConfigurationError, match=rf"{missing} cannot be read: No such file"):
        await Client.connect("127.0.0.1:1", "v2t", TlsFiles(ca=str(missing)))


async def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="need each other"):
        await Client.connect("127.0.0.1:1", "v2t", TlsFiles(certificate=str(tmp_path / "client.pem")))


async def test_a_server_without_tls_is_told_from_one_that_is_gone(plain_server: str) -> None:
    with pytest.raises(ClusterUnreachable, match=r"do not agree on TLS; check temporal\.ca_file"):
        await Client.connect(plain_server, "v2t", TlsFiles(server_name="temporal"))


async def test_a_server_that_is_gone_is_named() -> None:
    with pytest.raises(ClusterUnreachable, match=r"does not answer at 127\.0\.0\.1:1;"):
        await Client.connect("127.0.0.1:1", "v2t")
