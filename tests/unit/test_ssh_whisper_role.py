"""What the role ssh_whisper has the workers know is what v2t reads, and says the command as v2t itself would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import yaml

from v2t.config.ssh_whisper import SshWhisperSettings

ROLE = Path(__file__).parents[2] / "roles" / "ssh_whisper"


def settings(**hosts: dict[str, Any]) -> SshWhisperSettings:
    """The section for hosts of these variables."""
    environment = jinja2.Environment(trim_blocks=True)  # noqa: S701 - JSON, and no page
    environment.filters["to_json"] = json.dumps
    template = environment.from_string((ROLE / "templates" / "settings.json.j2").read_text("utf-8"))
    rendered = template.render(
        groups={"ssh_whisper": list(hosts)},
        hostvars=hosts,
        ssh_whisper_key_file="/etc/v2t/secrets/ssh-whisper",
        ssh_whisper_known_hosts="/etc/v2t/ssh-whisper-known-hosts",
    )
    return SshWhisperSettings(**json.loads(rendered))


def test_the_command_is_that_of_the_settings_at_the_place_of_the_program() -> None:
    usual = SshWhisperSettings()

    assert settings(one={"v2t_address": "10.0.0.1"}).command == ("/opt/v2t/bin/whisper-cli", *usual.command[1:])


def test_hosts_are_named_by_address_and_by_a_port_that_is_not_the_usual_one() -> None:
    found = settings(
        two={"v2t_address": "fd00::2", "ansible_port": 2222},
        one={"v2t_address": "10.0.0.1", "ansible_port": 22},
    )

    assert found.hosts == ("10.0.0.1", "[fd00::2]:2222")
    assert (found.user, found.requests_per_host) == ("v2t-whisper", 1)


def test_what_the_role_says_of_its_hosts_holds_for_the_workers() -> None:
    found = settings(one={"v2t_address": "10.0.0.1", "ssh_whisper_user": "v2t-ear", "ssh_whisper_requests_per_host": 3})

    assert (found.user, found.requests_per_host) == ("v2t-ear", 3)


def test_the_places_are_those_that_the_role_makes() -> None:
    places = yaml.safe_load((ROLE / "vars" / "main.yml").read_text("utf-8"))
    home, found = places["_ssh_whisper_home"], settings(one={"v2t_address": "10.0.0.1"})

    assert found.folder == f"{home}/work"
    assert found.model_path == f"{home}/models/ggml-{{name}}.bin"
    assert found.command[0] == places["_ssh_whisper_program"]
