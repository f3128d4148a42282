"""`python -m v2t` is `v2t`."""

from __future__ import annotations

from v2t.cli.main import main

if __name__ == "__main__":
    main()
