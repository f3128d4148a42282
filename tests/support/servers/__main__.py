"""`make servers`: run the real servers until Ctrl-C, and say how v2t is pointed at them.

With `--owner` it is a test run's keeper: it ends with that process, and removes its folder.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import sys
import tempfile
from pathlib import Path

from support.servers.keeper import ServerFailed, keep
from support.servers.layout import Layout, write_secret
from support.servers.programs import find_programs
from v2t.domain.errors import V2TError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m support.servers", description=__doc__)
    parser.add_argument("--folder", type=Path, help="keeps data, logs and servers.env; else a new one that goes away")
    parser.add_argument("--owner", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="v2t-servers-"))
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    tell = _tell_owner if arguments.owner else _tell_person
    keep_data = arguments.folder is not None and not arguments.owner
    try:
        programs = find_programs()  # before the loop, so that Ctrl-C ends a build
        asyncio.run(keep(folder, programs, arguments.owner, tell, keep_data=keep_data))
    except (ServerFailed, FileNotFoundError, V2TError) as error:
        print(f"servers: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _tell_owner(_layout: Layout) -> None:
    os.write(sys.stdout.fileno(), b"ready\n")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())  # which tells that no more will come
    os.close(nowhere)


def _tell_person(layout: Layout) -> None:
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in layout.environment.items())
    file = layout.folder / "servers.env"
    write_secret(file, lines)
    print(f"servers: all run; `. {file}` points v2t at them; Ctrl-C ends them", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
