"""Untrusted media: decode it, find speech, cut it. Only `tools` runs outside the confined child process."""

from __future__ import annotations
