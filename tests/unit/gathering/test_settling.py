from __future__ import annotations

from v2t.gathering.settling import settle


class Place:
    """What a watched place holds at each look; the last look goes on for ever."""

    def __init__(self, *looks: dict[str, object]) -> None:
        self.looks = list(looks)

    def __call__(self) -> list[tuple[str, object]]:
        return list((self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]).items())


async def collect(place: Place, wanted: int, settle_seconds: float = 0.15) -> list[str]:
    found: list[str] = []
    async for names in settle(place, settle_seconds=settle_seconds, once=False):
        found += names
        if len(found) >= wanted:
            break
    return found


async def test_a_file_is_given_once_it_stays_as_it_is() -> None:
    place = Place({"a": 1}, {"a": 2}, {"a": 3}, {"a": 3, "b": 1})
    assert sorted(await collect(place, 2)) == ["a", "b"]
    assert len(place.looks) == 1


async def test_a_file_that_vanishes_is_forgotten() -> None:
    assert await collect(Place({"a": 1}, {}, {"b": 1}), 1) == ["b"]


async def test_a_file_that_changes_afterwards_is_given_again() -> None:
    assert await collect(Place({"a": 1}, {"a": 1}, {"a": 1}, {"a": 2}), 2, 0.0) == ["a", "a"]


async def test_once_ends_with_what_was_there_at_first() -> None:
    found = [
        name
        async for names in settle(Place({"a": 1, "b": 1}, {"a": 1, "c": 1}), settle_seconds=0.15, once=True)
        for name in names
    ]
    assert "a" in found
    assert "b" not in found


async def test_once_in_an_empty_place_ends_at_once() -> None:
    assert [names async for names in settle(Place({}), settle_seconds=5, once=True)] == [[]]
