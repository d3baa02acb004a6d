"""Loopback addresses of groups."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.runtime.addresses import ONLY, Addresses


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdef")), max_size=60))
def test_owners_never_share_an_address(steps: list[tuple[bool, str]]) -> None:
    addresses, held = Addresses("seed"), dict[str, str]()
    for release, owner in steps:
        if release:
            addresses.release(owner)
            held.pop(owner, None)
        else:
            address = addresses.allocate(owner)
            assert held.setdefault(owner, address) == address
    if addresses.distinct:
        assert len(set(held.values())) == len(held)
        assert all(address.startswith("127.") for address in held.values())
    else:
        assert set(held.values()) <= {ONLY}


def test_there_are_addresses_for_thousands_of_groups() -> None:
    addresses = Addresses("seed")
    found = {addresses.allocate(str(n)) for n in range(3_000)}
    assert len(found) == (3_000 if addresses.distinct else 1)
    assert not any(address.endswith((".0", ".255")) for address in found)


def test_emulators_side_by_side_begin_at_different_places() -> None:
    seeds = [f"/home/me/state-{n}" for n in range(20)]
    found = {Addresses(seed).allocate("group") for seed in seeds}
    assert len(found) == (20 if Addresses("").distinct else 1)
    assert Addresses(seeds[0]).allocate("a") == Addresses(seeds[0]).allocate("b")


def test_an_owner_gets_back_what_it_had_if_it_is_free_and_ours() -> None:
    addresses = Addresses("seed")
    if not addresses.distinct:
        assert addresses.allocate("a", "127.64.9.9") == ONLY
        return
    assert addresses.allocate("a", "127.64.9.9") == "127.64.9.9"
    others = [
        addresses.allocate(name, wanted)
        for name, wanted in zip("bcde", ("127.64.9.9", "10.0.0.1", "x", None), strict=True)
    ]
    assert len({*others, "127.64.9.9"}) == 5
    assert all(address.startswith("127.") for address in others)
