"""Where a service may be connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Collection

from v2t.domain.errors import ConfigurationError, ProviderUnreachable

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: IPv4 addresses as networks that have only IPv6 write them."""


async def resolve_public(host: str, allowed: Collection[str], key: str) -> str:
    """The address to connect to for a host; a public one, unless the host is listed.

    The caller connects to this very address, so a name that resolves differently the next time gains nothing.

    Args:
        host: name or address.
        allowed: hosts that may be anywhere.
        key: the setting that lists them.

    Raises:
        ProviderUnreachable: the name has no address.
        ConfigurationError: it has an address that is not public.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ProviderUnreachable(f"{host} has no address: {error}") from error
    addresses = [str(entry[4][0]) for entry in found]
    if host.strip("[]").lower() not in allowed:
        inside = next((address for address in addresses if not is_public(address)), None)
        if inside is not None:
            raise ConfigurationError(f"{host} is at {inside}, which is not a public address; list it in {key}")
    return addresses[0]


def is_public(text: str) -> bool:
    """Whether an address belongs to the public Internet, whatever it is wrapped in."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        address = inner or address
    return address.is_global and not address.is_multicast
