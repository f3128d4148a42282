"""Records of jobs in SQL."""

from __future__ import annotations
