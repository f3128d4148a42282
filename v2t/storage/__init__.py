"""Adapters of the object store."""

from __future__ import annotations
