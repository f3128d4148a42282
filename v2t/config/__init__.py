"""The settings: what they are, and where they come from. Import this inside a command: pydantic costs 0.1 s."""

from __future__ import annotations

from v2t.config.loading import load_file, load_settings, settings_files, user_settings_file
from v2t.config.secret import Secret
from v2t.config.settings import Setting, Settings, describe_section, describe_settings

__all__ = [
    "Secret",
    "Setting",
    "Settings",
    "describe_section",
    "describe_settings",
    "load_file",
    "load_settings",
    "settings_files",
    "user_settings_file",
]
