"""Real hosts with systemd on this machine. Needs root and Debian or Ubuntu."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from support.lab.base import BaseFailed, base
from support.lab.control import HOSTS, Host, Lab, end_lab, find_lab, start_lab
from support.lab.keeper import held, keep, keeper_of
from support.lab.layout import INDICES, USER, Layout
from support.lab.machine import LabFailed
from support.lab.systems import DEFAULT_SYSTEM, SYSTEMS
from support.owned import OwnerRefused

_EXAMPLES = f"""\
examples, run in the folder tests:
  python -m support.lab up                             m2, m4-1 and m4-2, until Ctrl-C
  python -m support.lab up --detach --index 3 --hosts m2,m4-1
  python -m support.lab up --system ubuntu-24.04
  python -m support.lab list                           all labs that run, and their hosts
  ansible -i ~/.cache/v2t/lab/3/inventory all -m ping  as the user {USER}, who has sudo
  python -m support.lab ssh m2 --index 3               a shell of root
  python -m support.lab ssh m2 --index 3 -- systemctl --failed
  python -m support.lab kill m4-1 --index 3            a power cut; `start` ends it
  python -m support.lab cut m4-1 --index 3             the network cable pulled; `join` puts it back
  python -m support.lab down --index 3

The first `up` builds the hosts' root file system, which takes about a minute; after that it takes some seconds.
Labs with different indices are apart: 10.77.<index>.0/24, m2 at .2, m4-1 at .41, m4-2 at .42.
"""


def main() -> int:
    words, command = _partition(sys.argv[1:])
    arguments = _parser().parse_args(words, argparse.Namespace(command=command))
    if os.geteuid() != 0:
        print("lab: only root can make hosts; use sudo", file=sys.stderr)
        return 1
    try:
        return int(arguments.action(arguments))
    except (LabFailed, BaseFailed, OwnerRefused, ValueError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _partition(words: list[str]) -> tuple[list[str], list[str]]:
    """What comes after `--` is a host's command, and none of our own."""
    end = words.index("--") if "--" in words else len(words)
    return words[:end], words[end + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m support.lab",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    up = verbs.add_parser("up", help="make a lab, and say where its inventory is")
    up.add_argument("--hosts", default=",".join(HOSTS), help="default: %(default)s")
    _add_system(up)
    up.add_argument("--detach", action="store_true", help="return when the hosts are up; `down` ends them")
    up.set_defaults(action=_up)
    down = verbs.add_parser("down", help="end a lab; nothing of it stays")
    down.set_defaults(action=_down)
    for verb, words in (
        ("kill", "cut a host's power"),
        ("poweroff", "shut a host down in order"),
        ("start", "switch a host on"),
        ("cut", "pull a host's network cable"),
        ("join", "put the cable back"),
        ("ssh", "a shell on a host, or the command after --"),
    ):
        each = verbs.add_parser(verb, help=words)
        each.add_argument("host", metavar="HOST")
        each.set_defaults(action=_ssh if verb == "ssh" else _fault, verb=verb)
        if verb == "ssh":
            each.add_argument("--user", default="root", help=f"or {USER}; default: %(default)s")
        _add_index(each)
    verbs.add_parser("list", help="all labs that run").set_defaults(action=_list)
    keeper = verbs.add_parser("keep")  # what `start_lab` runs
    keeper.add_argument("--hosts", required=True)
    _add_system(keeper)
    keeper.add_argument("--owner", type=int, default=0)
    keeper.set_defaults(action=_keep)
    for each in (up, down, keeper):
        _add_index(each)
    return parser


def _add_system(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--system", choices=SYSTEMS, default=DEFAULT_SYSTEM, help="of the hosts; default: %(default)s")


def _add_index(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--index", type=int, default=0, help="of the lab, 0 to 9; default: %(default)s")


def _up(arguments: argparse.Namespace) -> int:
    owner = 0 if arguments.detach else os.getpid()
    lab = start_lab(arguments.index, arguments.hosts.split(","), arguments.system, owner=owner, log=sys.stderr.fileno())
    inventory = lab.inventory(lab.layout.folder / "inventory")
    print(f"lab: up: {', '.join(lab.hosts)}; their inventory:", file=sys.stderr)
    print(inventory, flush=True)
    if not arguments.detach:
        print("lab: Ctrl-C ends them", file=sys.stderr, flush=True)
        ended = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        try:
            while not ended.wait(1) and keeper_of(lab.layout):
                pass
        finally:
            end_lab(arguments.index)
    return 0


def _down(arguments: argparse.Namespace) -> int:
    end_lab(arguments.index)
    return 0


def _list(_arguments: argparse.Namespace) -> int:
    for index in INDICES:
        if keeper := keeper_of(Layout(index)):
            try:
                lab = find_lab(index)
            except LabFailed:
                print(f"{index}  process {keeper} is still making it")
                continue
            for host in lab.hosts.values():
                print(f"{index}  {host.name:6} {host.address:12} {'on' if host.pid else 'off'}")
    return 0


def _fault(arguments: argparse.Namespace) -> int:
    lab = find_lab(arguments.index)
    host = _host(lab, arguments.host)
    if arguments.verb in {"cut", "join"}:
        getattr(lab, arguments.verb)(host.name)
    else:
        getattr(host, arguments.verb)()
    return 0


def _ssh(arguments: argparse.Namespace) -> int:
    host = _host(find_lab(arguments.index), arguments.host)
    return subprocess.run(host.ssh_command(*arguments.command, user=arguments.user), check=False).returncode


def _host(lab: Lab, name: str) -> Host:
    if name not in lab.hosts:
        raise LabFailed(f"lab {lab.layout.index} has {', '.join(lab.hosts)}, but no host {name!r}")
    return lab.host(name)


def _keep(arguments: argparse.Namespace) -> int:
    layout = Layout(arguments.index, tuple(arguments.hosts.split(",")))
    if code := subprocess.run([Path(__file__).with_name("install.sh")], check=False).returncode:
        return code
    with held(layout):
        asyncio.run(keep(layout, base(SYSTEMS[arguments.system]), arguments.owner, _say_ready))
    return 0


def _say_ready() -> None:
    """Tell `start_lab`, whose streams may end before this process does."""
    os.write(sys.stdout.fileno(), b"ready\n")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
