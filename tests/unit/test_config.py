from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from v2t import config
from v2t.config import Secret, Settings, describe_settings, load_file, load_settings, loading
from v2t.domain.errors import ConfigurationError, InputNotFound


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working folder of the test's own, and no settings from outside."""
    for name in list(os.environ):
        if name.upper().startswith(("V2T_", "XDG_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    (folder / ".config/v2t").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def values_of(settings: Settings) -> dict[str, object]:
    return settings.model_dump()


def message_of(text: str) -> str:
    write(Path("v2t.toml"), text)
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    assert "\n" not in raised.value.message
    return raised.value.message


def test_without_files_or_variables_the_defaults_hold(home: Path) -> None:
    settings = load_settings()
    assert values_of(settings) == values_of(Settings())
    assert settings.standalone.folder == home / ".local/share/v2t"
    assert settings.models.folder == home / ".local/share/v2t/models"
    assert {settings.source_of(setting.name) for setting in describe_settings()} == {"default"}


def test_the_nearer_source_wins_for_each_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system_file = write(
        home / "system.toml", "[engine]\nslots = 1\nthreads = 1\nstall_seconds = 1\nmemory_limit_mb = 1"
    )
    user_file = write(home / ".config/v2t/config.toml", "[engine]\nslots = 2\nthreads = 2\nstall_seconds = 2")
    near, user, _ = config.settings_files()
    assert user == user_file
    monkeypatch.setattr(loading, "settings_files", lambda: (near, user, system_file))
    write(Path("v2t.toml"), "[engine]\nslots = 3\nthreads = 3")
    monkeypatch.setenv("V2T_ENGINE__SLOTS", "4")

    settings = load_settings()
    engine = settings.engine
    assert (engine.slots, engine.threads, engine.stall_seconds, engine.memory_limit_mb) == (4, 3, 2.0, 1)
    assert settings.source_of("engine.slots") == "environment V2T_ENGINE__SLOTS"
    assert settings.source_of("engine.threads") == "file v2t.toml"
    assert settings.source_of("engine.stall_seconds") == f"file {user_file}"
    assert settings.source_of("engine.memory_limit_mb") == f"file {system_file}"
    assert settings.source_of("engine.idle_unload_seconds") == "default"


def test_the_system_file_is_read_last() -> None:
    assert config.settings_files()[-1] == Path("/etc/v2t/config.toml")


def test_a_file_named_by_the_environment_is_read_instead_of_all_others(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = write(home / "lab.toml", "[engine]\nslots = 1")
    write(home / ".config/v2t/config.toml", "[engine]\nslots = 2\nthreads = 2")
    write(Path("v2t.toml"), "[engine]\nslots = 3")
    monkeypatch.setenv("V2T_CONFIG", "~/lab.toml")

    settings = load_settings()

    assert (settings.engine.slots, settings.engine.threads) == (1, 1)
    assert settings.source_of("engine.slots") == f"file {named}"


def test_a_file_named_by_the_environment_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2T_CONFIG", "/nowhere/lab.toml")
    with pytest.raises(ConfigurationError, match=r"V2T_CONFIG names /nowhere/lab\.toml"):
        load_settings()


def test_a_tilde_is_the_home_folder(home: Path) -> None:
    write(Path("v2t.toml"), "[models]\nfolder = '~/speech models'")
    assert load_settings().models.folder == home / "speech models"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[engine]\n\nslotz = 2", "v2t.toml:3: there is no setting engine.slotz; did you mean engine.slots?"),
        ("[engin]\nslots = 2", "v2t.toml:1: there is no setting engin; did you mean engine?"),
        ("engine.slotz = 2", "v2t.toml:1: there is no setting engine.slotz; did you mean engine.slots?"),
        ("zzz = 2", "v2t.toml:1: there is no setting zzz; `v2t config show` lists those there are"),
        (
            "[audio]\nmax_hours = 1\n[engine]\nslots = -1",
            "v2t.toml:4: engine.slots: Input should be greater than or equal to 0",
        ),
        (
            "[engine]\nthreads = 0\nslots = -1",
            "v2t.toml:3: engine.slots: Input should be greater than or equal to 0 (and 1 more)",
        ),
        ("engine = 2", "v2t.toml:1: engine is a section; set its keys"),
        (
            "[models]\nhub = 'ftp://x'",
            "v2t.toml:2: models.hub is not well formed; an example is https://models.example.org",
        ),
        ("[models]\nfolder = 'data'", "v2t.toml:2: models.folder: a folder must be absolute or begin with ~"),
        (
            "[output]\nmin_duration_seconds = 9",
            "v2t.toml:1: output: min_duration_seconds is above max_duration_seconds",
        ),
        ("[engine]\nslots = ?", "v2t.toml is not TOML: Invalid value (at line 2, column 9)"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_the_reason(text: str, message: str) -> None:
    assert message_of(text) == message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("V2T_ENGINE__SLOTS", "many", "V2T_ENGINE__SLOTS: engine.slots: Input should be a valid integer"),
        ("V2T_ENGINE__SLOTZ", "1", "V2T_ENGINE__SLOTZ: there is no setting engine.slotz; did you mean engine.slots?"),
        ("V2T_ENGIN__SLOTS", "1", "V2T_ENGIN__SLOTS: there is no setting engin.slots; did you mean engine.slots?"),
        ("V2T_ENGINE", "{", "environment: "),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    assert raised.value.message.startswith(message)


def test_a_value_that_is_wrong_but_overridden_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("v2t.toml"), "[engine]\nslots = -1")
    monkeypatch.setenv("V2T_ENGINE__SLOTS", "1")
    assert load_settings().engine.slots == 1


def test_a_variable_of_another_tool_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2T_BOX", "debian")
    assert values_of(load_settings()) == values_of(Settings())


def test_one_file_is_checked_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2T_ENGINE__SLOTS", "7")
    write(Path("v2t.toml"), "[engine]\nthreads = 7")
    settings = load_file(write(home / "other.toml", "[engine]\nstall_seconds = 7"))
    assert (settings.engine.slots, settings.engine.threads, settings.engine.stall_seconds) == (0, 1, 7.0)
    with pytest.raises(InputNotFound, match=r"v2t config init --path .*none\.toml"):
        load_file(home / "none.toml")


@pytest.mark.parametrize("environment", [{}, {"HOME": ""}, {"HOME": "/nonexistent"}, {"HOME": "/proc/1/root/none"}])
def test_an_account_without_a_usable_home_gets_defaults(tmp_path: Path, environment: dict[str, str]) -> None:
    script = "from v2t.config import load_settings; print(load_settings().standalone.folder)"
    run = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert run.stderr == ""
    assert Path(run.stdout.strip()).is_absolute()


def test_an_account_that_is_unknown_keeps_its_data_where_services_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(name: str) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_data_path", no_home)
    monkeypatch.setattr("platformdirs.user_config_path", no_home)
    assert load_settings().models.folder == Path("/var/lib/v2t/models")
    assert config.settings_files() == (Path("v2t.toml"), Path("/etc/v2t/config.toml"))


def test_every_setting_is_described_and_its_example_is_valid() -> None:
    settings = list(describe_settings())
    assert len({setting.name for setting in settings}) == len(settings)
    for setting in settings:
        assert setting.description.endswith("."), setting.name
        Settings(**{setting.section: {setting.key: setting.example}})  # type: ignore[arg-type]
        Settings(**{setting.section: {setting.key: setting.default}})  # type: ignore[arg-type]


def test_a_secret_is_read_from_where_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_TOKEN", "from the environment")
    file = write(tmp_path / "token", "from a file\n")
    assert Secret("in plain").reveal() == "in plain"
    assert Secret("env:HUB_TOKEN").reveal() == "from the environment"
    assert Secret(f"file:{file}").reveal() == "from a file"


@pytest.mark.parametrize("reference", ["file:/none/token", "env:NO_TOKEN", "file:/"])
def test_a_secret_that_is_not_there_is_named(reference: str) -> None:
    with pytest.raises(ConfigurationError, match=reference):
        Secret(reference).reveal()


def test_a_secret_is_never_shown() -> None:
    class Section(BaseModel):
        token: Secret = Secret("")

    section = Section.model_validate({"token": "hush"})
    assert section.token.reveal() == "hush"
    for shown in (repr(section), str(section.token), f"{section.token}", section.model_dump_json()):
        assert "hush" not in shown
    assert repr(Section.model_validate({"token": "env:HUB_TOKEN"})) == "Section(token=Secret('env:HUB_TOKEN'))"


def test_the_settings_survive_a_file_with_every_default(home: Path) -> None:
    lines: list[str] = []
    for section, values in Settings().model_dump(mode="json").items():
        lines += [
            f"[{section}]",
            *(
                f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
                for key, value in values.items()
            ),
        ]
    path = write(home / "all.toml", "\n".join(lines))
    assert values_of(load_file(path)) == values_of(Settings())
