"""Stand-ins of the speech services, which answer at once; in a process of their own they take no time from a client.

usage: stand_ins.py SECONDS
Prints JSON: provider → address of a server that hears a usual number of words in audio of so many seconds.
Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

from support.speech_apis import APIS
from support.speech_servers import Seen, SpeechServer, Spoken, Wire, serve_speech

_WORDS_PER_SECOND = 2.5


class Forgetful(SpeechServer):
    """A server that does not keep what it was sent."""

    async def _respond(self, wire: Wire, seen: Seen) -> None:
        self.seen.clear()
        await super()._respond(wire, seen)


@contextmanager
def stand_ins(seconds: float) -> Iterator[dict[str, str]]:
    """Run this file; yields what it prints."""
    process = subprocess.Popen([sys.executable, __file__, str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout
        yield json.loads(process.stdout.readline())
        process.communicate()


async def main() -> None:
    length = 1 / _WORDS_PER_SECOND
    count = int(float(sys.argv[1]) * _WORDS_PER_SECOND)
    words = [Spoken("word.", place * length, place * length + 0.3) for place in range(count)]
    async with AsyncExitStack() as stack:
        servers = {
            api.name: await stack.enter_async_context(serve_speech(Forgetful(api.answer, words=words))) for api in APIS
        }
        print(json.dumps({name: server.address for name, server in servers.items()}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
