"""What those who run a server allow to be set in its channels."""

from typing import Any

import pytest
from simulated import Place

pytestmark = pytest.mark.simcord(check_errors=False, settle_timeout=30)


async def test_each_setting_can_be_bounded_or_forbidden(place: Place) -> None:
    assert "whatever people" in await place.tell(place.dave, "admin bounds", setting="temperature")
    said = await place.tell(place.dave, "admin bounds", setting="temperature", least=0.2, most=1.0)
    assert said == "temperature in this server: from 0.2 to 1."
    for name, value, bound in (
        ("top_p", 0.9, "at most 0.9"),
        ("min_p", 0.1, "at most 0.1"),
        ("top_k", 40, "at most 40"),
    ):
        said = await place.tell(place.dave, "admin bounds", setting=name, most=float(value))
        assert said.startswith(f"{name} in this server: {bound}")
    before = await place.tell(place.carol, "settings set", temperature=0.5, top_p=0.5, top_k=7, min_p=0.05, seed=3)
    for name, value in {"temperature": 1.5, "top_p": 1.0, "top_k": 0, "min_p": 0.2}.items():
        refused = await place.tell(place.carol, "settings set", **{name: value}, max_tokens=5)
        assert refused.startswith(f"Nothing is changed. This server allows {name} ")
    assert await place.tell(place.carol, "settings show") == before
    await place.ask(place.alice)
    assert place.chat.requests[-1].seed == 3
    await place.tell(place.dave, "admin bounds", setting="seed", action="forbid")
    await place.tell(place.dave, "admin bounds", setting="top_p", action="forbid")
    refused = await place.tell(place.carol, "settings set", seed=4)
    assert "keeps seed as it is configured" in refused
    await place.ask(place.alice)
    request = place.chat.requests[-1]
    assert request.seed is None and request.sampling is not None
    assert (request.sampling.temperature, request.sampling.top_p) == (0.5, place.chat.sampling.top_p)
    await place.tell(place.dave, "admin bounds", setting="top_p", action="allow")
    assert "0.5" in await place.tell(place.carol, "settings show")


async def test_a_temperature_that_no_reply_can_be_made_with_is_refused(place: Place) -> None:
    before = await place.tell(place.carol, "settings show")
    refused = await place.tell(place.carol, "settings set", temperature=0.0005, top_k=3)
    assert refused.startswith("Nothing is changed. temperature is 0 ") and "at least 0.001" in refused
    assert await place.tell(place.carol, "settings show") == before
    assert "0.001" in await place.tell(place.carol, "settings set", temperature=0.001)


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        ({"setting": "seed", "most": 5.0}, "no more and less"),
        ({"setting": "top_p", "least": 2.0}, "from 0 to 1"),
        ({"setting": "temperature", "most": 0.0005}, "at least 0.001"),
        ({"setting": "max_tokens", "most": 0.0}, "from 1 to"),
        ({"setting": "top_k", "most": 2.5}, "whole number"),
        ({"setting": "min_p", "least": 0.5, "most": 0.1}, "is more than the most"),
        ({"setting": "min_p", "least": 0.5, "action": "forbid"}, "either bounds or an action"),
    ],
)
async def test_bounds_that_cannot_be_are_refused(place: Place, bounds: dict[str, Any], why: str) -> None:
    assert why in await place.tell(place.dave, "admin bounds", **bounds)
