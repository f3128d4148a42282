"""Lists in settings: what may stand in them, and that nothing in them is empty or there twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from v2t.domain.errors import V2TError
from v2t.domain.languages import parse_language
from v2t.domain.selection import ENGINES, SERVICES
from v2t.domain.tags import parse_tags


def _from_commas(value: object) -> object:
    """A list as it is, or from a string with commas, which is how the environment can hold one."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _listed(value: object) -> object:
    """A list of a file as a tuple."""
    if isinstance(value, list | tuple):
        return tuple(value)
    raise ValueError(f"it is a list, such as [{json.dumps(value, default=str)}]")


def _checked(values: tuple[Any, ...], check: Callable[[Any], Any] = lambda value: value) -> tuple[Any, ...]:
    """Each value as `check` gives it back; one that is empty, or there twice, is a mistake."""
    if any(isinstance(value, str) and not value.strip() for value in values):
        raise ValueError("a name in it is empty")
    try:
        found = tuple(map(check, values))
    except V2TError as error:
        raise ValueError(error.message) from error
    if twice := next((value for value, times in Counter(found).items() if times > 1), None):
        raise ValueError(f"{twice} stands in it twice")
    return found


def _provider(name: str) -> str:
    names = (*ENGINES, *SERVICES)
    if name not in names:
        raise ValueError(f"there is no provider {name}; there are {', '.join(names)}")
    return name


def _tag(word: str) -> str:
    return parse_tags([word])[0]


def _format(ending: str) -> str:
    return ending.lower().removeprefix(".")


def _spoken(name: str) -> str:
    """The code of a language; `auto` is none."""
    code = parse_language(name)
    if not code:
        raise ValueError(f"{name} is no language")
    return code


_tags = AfterValidator(partial(_checked, check=_tag))
_providers = AfterValidator(partial(_checked, check=_provider))

Words = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_checked)]
Tags = Annotated[tuple[str, ...], BeforeValidator(_listed), _tags]
Formats = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(partial(_checked, check=_format))]
Languages = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(partial(_checked, check=_spoken))]
Providers = Annotated[tuple[str, ...], BeforeValidator(_listed), _providers]
Priorities = Annotated[
    tuple[Annotated[int, Field(ge=1, le=5)], ...], BeforeValidator(_listed), AfterValidator(_checked)
]

TagsOrCommas = Annotated[tuple[str, ...], BeforeValidator(_from_commas), _tags]
ProvidersOrCommas = Annotated[tuple[str, ...], BeforeValidator(_from_commas), _providers]
"""Of keys that the environment may set."""

ProviderName = Annotated[str, AfterValidator(_provider)]
