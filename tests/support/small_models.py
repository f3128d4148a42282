"""A model in both formats that is small enough to be sent around in a test."""

from __future__ import annotations

import hashlib

from v2t.weights.catalogue import CT2, GGML, Model, ModelFile

WEIGHTS = bytes(range(256)) * 4096  # 1 MiB
SETTINGS = b'{"alignment_heads": []}'


def file_of(name: str, content: bytes) -> ModelFile:
    return ModelFile(name, len(content), hashlib.sha256(content).hexdigest())


SINGLE = Model("small", GGML, "owner/ggml", "revision", (file_of("ggml-small.bin", WEIGHTS),))
FOLDER = Model("small", CT2, "owner/ct2", "revision", (file_of("config.json", SETTINGS), file_of("model.bin", WEIGHTS)))
