from __future__ import annotations

import sys
from pathlib import Path

import pytest

from v2t.cluster import go
from v2t.cluster.lock import read_lock
from v2t.domain.errors import ProgramCorrupted


def test_a_build_names_an_exact_version_and_nothing_of_this_machine() -> None:
    command = go.build_command(Path("/usr/bin/go"), read_lock().find("temporal"))

    assert command == [
        "/usr/bin/go",
        "install",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags=-s -w -buildid=",
        "-tags=disable_grpc_modules",
        "go.temporal.io/server/cmd/server@v1.31.2",
    ]


def test_a_build_may_be_for_another_architecture() -> None:
    environment = go.build_environment(Path("/work"), "/modules", "arm64")

    assert environment == {
        "CGO_ENABLED": "0",
        "GOARCH": "arm64",
        "GOBIN": "",
        "GOFLAGS": "",
        "GOMODCACHE": "/modules",
        "GOOS": "linux",
        "GOPATH": "/work",
        "GOWORK": "off",
    }


def test_the_toolchain_comes_from_the_package_index_with_its_hash() -> None:
    toolchain = read_lock().toolchain

    command = go.download_command(toolchain, "arm64", Path("/r.txt"), Path("/d"))

    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--require-hashes", "--platform=manylinux_2_17_aarch64", "--requirement=/r.txt"} <= set(command)


@pytest.mark.parametrize(
    ("answer", "is_enough"),
    [
        ("go version go1.26.8 linux/amd64", True),
        ("go version go1.26.5 linux/amd64", True),
        ("go version go1.27 linux/amd64", True),
        ("go version go1.26.4 linux/amd64", False),
        ("go version go1.9.7 linux/amd64", False),
        ("go version devel linux/amd64", False),
    ],
)
def test_an_installed_go_is_used_when_it_is_new_enough(answer: str, is_enough: bool) -> None:
    assert go._is_enough(answer, "1.26.5") is is_enough


def test_a_program_of_another_module_is_refused() -> None:
    program = read_lock().find("mc")
    assert program.go
    told = f"mc: go1.26.8\n\tpath\t{program.go.package}\n\tmod\t{program.go.module}\t{program.version}\t{{}}\n"

    go._check_sum(program.go, told.format(program.go.sum), program)
    with pytest.raises(ProgramCorrupted, match="mc is not the one"):
        go._check_sum(program.go, told.format("h1:another"), program)
