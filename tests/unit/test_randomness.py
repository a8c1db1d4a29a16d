"""Random numbers by address: the published generator, and draws that depend on their address alone."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from simulation.night.order import Stream
from simulation.randomness import (
    CERTAIN,
    MAX_SEED,
    TABLE_STEPS,
    Integers,
    between,
    bits,
    chance,
    philox,
    place_id,
    quantile,
    words,
)

WORD = st.integers(0, 2**32 - 1)


@dataclass(frozen=True)
class Address:
    """The six parts of an address, in the order of `bits`."""

    seed: int
    night: int
    place: int
    entity: int
    stream: int
    ordinal: int

    @property
    def bits(self) -> int:
        return int(bits(*astuple(self)))


ADDRESSES = st.builds(
    Address,
    seed=st.integers(0, MAX_SEED),
    night=WORD,
    place=st.integers(0, 2**63 - 1),
    entity=WORD,
    stream=st.integers(0, 2**12 - 1),
    ordinal=st.integers(0, 2**20 - 1),
)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
    ids=["zeros", "ones", "digits of pi"],
)
def test_philox_gives_the_published_vectors(counter: str, key: str, expected: str) -> None:
    """Random123's known-answer tests for philox4x32-10 (Salmon et al. 2011), compiled and as plain Python."""
    given_words = [int(word, 16) for word in (counter + " " + key).split()]
    for function in (philox, philox.py_func):  # type: ignore[attr-defined]  # numba adds the plain form
        assert " ".join(f"{int(word):08x}" for word in function(*given_words)) == expected


def test_an_address_is_laid_out_in_the_counter_as_documented() -> None:
    """Place, entity, a quarter of the stream and ordinal in the counter; the stream's rest names the word of four."""
    four = philox(0x9ABCDEF0, 0x12345678, 7, 5 << 20 | 11, 3, 2)
    for rest, word in enumerate(four):
        address = Address(seed=3, night=2, place=0x123456789ABCDEF0, entity=7, stream=4 * 5 + rest, ordinal=11)
        assert address.bits == int(word)


@given(ADDRESSES, st.integers(0, 40))
def test_many_entities_at_once_draw_what_each_draws_by_itself(address: Address, count: int) -> None:
    drawn = np.zeros((4, count), np.int64)
    stream = address.stream // 4 * 4
    words(address.seed, address.night, address.place, stream, address.ordinal, count, *drawn)
    for entity in range(count):
        alone = [replace(address, entity=entity, stream=stream + word).bits for word in range(4)]
        assert drawn[:, entity].tolist() == alone


@given(ADDRESSES, ADDRESSES, st.sampled_from(list(Address.__dataclass_fields__)))
def test_changing_one_part_of_an_address_changes_its_bits(one: Address, other: Address, part: str) -> None:
    changed = replace(one, **{part: getattr(other, part)})
    assume(changed != one)
    if changed.bits == one.bits:  # 32 bits may coincide; those of the next ordinals do not as well
        following = [(a.ordinal + 1) % 2**20 for a in (one, changed)]
        assert replace(one, ordinal=following[0]).bits != replace(changed, ordinal=following[1]).bits


@given(ADDRESSES)
def test_bits_are_a_pure_function_of_the_address(address: Address) -> None:
    before = address.bits
    replace(address, ordinal=(address.ordinal + 1) % 2**20).bits  # noqa: B018  # drawing something else in between
    assert address.bits == before == int(bits.py_func(*astuple(address)))  # type: ignore[attr-defined]  # as above
    assert 0 <= before < 2**32


@pytest.mark.parametrize("part", list(Address.__dataclass_fields__))
def test_bits_are_uniform_along_every_part_of_the_address(part: str) -> None:
    """4,096 consecutive addresses: mean, variance, equal cells and no correlation of neighbors, within 5 sigma."""
    start = Address(seed=1, night=2, place=3, entity=4, stream=0, ordinal=6)
    count = 4096
    drawn = np.array([replace(start, **{part: k}).bits for k in range(count)], dtype=np.float64) / 2**32
    assert abs(drawn.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / count)
    assert abs(drawn.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / count)
    cells = np.bincount((drawn * 64).astype(int), minlength=64)
    assert ((cells - count / 64) ** 2 / (count / 64)).sum() < 63 + 5 * np.sqrt(2 * 63)  # chi-square
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 5 / np.sqrt(count)


def test_every_stream_has_its_own_number_and_fits_its_bits() -> None:
    assert len({int(stream) for stream in Stream}) == len(list(Stream)) == len(Stream.__members__)
    assert max(Stream) < 2**12


# Places


def test_a_place_keeps_its_luck_as_long_as_it_keeps_its_id() -> None:
    """Stored values: a roster that is played again in ten years has the same luck."""
    assert place_id("Adair/Adair 1") == 0x43CE08FDB6C2EF86
    assert place_id("Polk/Des Moines 1") == 0x521D259C9817FEB3


@given(st.lists(st.text(max_size=30), unique=True, max_size=50))
def test_places_are_63_bit_and_distinct(names: list[str]) -> None:
    places = [place_id(name) for name in names]
    assert len(set(places)) == len(names)
    assert all(0 <= place < 2**63 for place in places)


# Draws

TABLES = st.lists(st.integers(0, 2**40), min_size=2, max_size=TABLE_STEPS + 1).map(
    lambda values: np.interp(
        np.linspace(0, len(values) - 1, TABLE_STEPS + 1), np.arange(len(values)), np.array(sorted(values), float)
    ).astype(np.int64)
)


@given(TABLES, WORD, WORD)
def test_a_quantile_lies_between_its_neighbors_and_rises(table: Integers, first: int, second: int) -> None:
    low, high = sorted((first, second))
    assert quantile(table, low) <= quantile(table, high)
    step = low // (2**32 // TABLE_STEPS)
    assert table[step] <= quantile(table, low) <= table[step + 1]


def test_a_quantile_table_is_met_at_its_points_and_halfway_between_them() -> None:
    table = np.arange(TABLE_STEPS + 1, dtype=np.int64) * 1000
    step = 2**32 // TABLE_STEPS
    assert quantile(table, 0) == 0
    assert quantile(table, 5 * step) == 5000
    assert quantile(table, 5 * step + step // 2) == 5500
    assert quantile(table, 2**32 - 1) == TABLE_STEPS * 1000 - 1


@given(st.integers(0, 2**32), WORD)
def test_chance_is_a_share_of_all_bits(share: int, random_bits: int) -> None:
    assert bool(chance(share, random_bits)) == (random_bits < share)
    assert chance(CERTAIN, random_bits)
    assert not chance(0, random_bits)


@given(st.integers(-(2**20), 2**20), st.integers(0, 2**20), WORD)
def test_between_stays_between_and_reaches_both_ends(low: int, span: int, random_bits: int) -> None:
    assert low <= between(low, low + span, random_bits) <= low + span
    assert between(low, low + span, 0) == low
    assert between(low, low + span, 2**32 - 1) == low + span
