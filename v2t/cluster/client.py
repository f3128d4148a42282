"""The operator's own v2t: which cluster its settings name. A deployment writes them into the inventory's folder."""

from __future__ import annotations

from pathlib import Path

from v2t.domain.errors import StorageUnwritable

CONFIG = Path("client/config.toml")
"""In the inventory's folder, beside the certificate and the secrets that it names."""


def activate(config: Path, user_file: Path | None) -> bool:
    """Let the user's settings be those of the cluster, by a link, unless there are others.

    Args:
        config: the cluster's settings for its operator.
        user_file: where v2t looks for the user's settings; None: nowhere.

    Returns:
        Whether they are in force now.

    Raises:
        StorageUnwritable: the link cannot be made.
    """
    if user_file is None:
        return False
    if user_file.exists():
        return user_file.samefile(config)
    try:
        user_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        user_file.unlink(missing_ok=True)  # a link to a cluster whose inventory is gone
        user_file.symlink_to(config)
    except OSError as error:
        raise StorageUnwritable(f"{user_file} cannot be written: {error.strerror or error}") from error
    return True


def describe(config: Path, user_file: Path | None, *, active: bool) -> str:
    """How the operator uses the cluster, in a line."""
    if active:
        return f"your v2t uses this cluster: {user_file} is its {config}"
    return f"to use this cluster: export V2T_CONFIG={config} ({user_file or 'your settings'} names another)"
