"""How files of the package index are brought: by pip, without what they depend on."""

from __future__ import annotations

import sys


def pip_download(*options: str) -> list[str]:
    """The call that downloads."""
    return [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", *options]
