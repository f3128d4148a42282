from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from v2t.domain.errors import ConfigurationError, ProviderUnreachable
from v2t.providers._addresses import is_public, resolve_public

KEY = "custom_http.allowed_hosts"


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - refused
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:a00:1::",
    ],
)
def test_an_address_inside_is_not_public_however_it_is_written(address: str) -> None:
    assert not is_public(address)


async def test_a_host_inside_is_refused_unless_it_is_listed() -> None:
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1, which is not a public address; list it in custom"):
        await resolve_public("127.0.0.1", (), KEY)
    assert await resolve_public("127.0.0.1", ("127.0.0.1",), KEY) == "127.0.0.1"
    assert await resolve_public("[::1]", ("::1",), KEY) == "::1"


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]"])
async def test_other_spellings_of_a_host_inside_are_refused_too(host: str) -> None:
    with pytest.raises(ConfigurationError, match="not a public address"):
        await resolve_public(host, ("127.0.0.1",), KEY)


async def test_a_name_with_addresses_inside_and_outside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, 0, 0, "", (address, 0)) for address in ("8.8.8.8", "10.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    with pytest.raises(ConfigurationError, match=r"at 10\.0\.0\.1"):
        await resolve_public("asr.example.org", (), KEY)


@pytest.mark.parametrize("host", ["nobody.invalid", "a" * 70 + ".example"])
async def test_a_name_without_an_address_is_unreachable(host: str) -> None:
    with pytest.raises(ProviderUnreachable, match="has no address"):
        await resolve_public(host, (), KEY)
