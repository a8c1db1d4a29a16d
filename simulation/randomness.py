"""Every random number by address: a pure function of where it is used, never of what was drawn before.

Generator: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011), checked
against Random123's published vectors. An address is (seed, night, place, entity, stream, ordinal):

    place    64 bits, `place_id` of the roster's stable id (or of a hotline, or of an assumption's name)
    entity   a person or a call at that place, below 2**32
    stream   what the number is for (`simulation.night.order`), below 2**12
    ordinal  the n-th number of that stream for that entity, below 2**20

One call of the generator gives four words: those of four neighboring streams (4n .. 4n + 3), so that what is needed
together is drawn together. One more voter in Adair changes nothing in Polk, and scenarios that differ in one lever
share all other luck.
Distributions are integer quantile tables; a draw is a look-up with integer interpolation, the same on any machine.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from simulation.compiled import kernel

Integers = npt.NDArray[np.int64]

CERTAIN = 1 << 32  # a share of 1, in the fixed point of `chance`
TABLE_STEPS = 1024  # equally likely steps of a quantile table, which holds TABLE_STEPS + 1 values
MAX_SEED = (1 << 32) - 1

_STEP_BITS = 22  # 2**32 / TABLE_STEPS = 2**22
_STEP_MASK = (1 << _STEP_BITS) - 1


def place_id(name: str) -> int:
    """The stable 63-bit place of a roster id: a hash, so that neighbors in the roster do not matter."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") >> 1


@kernel
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]  # numba infers unsigned words from the casts
    """Philox4x32-10: four 32-bit counter words and two key words to four 32-bit words (uint64 each)."""
    mask = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    x0, x1, x2, x3 = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3)
    key0, key1 = np.uint64(k0), np.uint64(k1)
    for _ in range(10):
        product0 = np.uint64(0xD2511F53) * x0
        product1 = np.uint64(0xCD9E8D57) * x2
        x0 = (product1 >> shift) ^ x1 ^ key0
        x1 = product1 & mask
        x2 = (product0 >> shift) ^ x3 ^ key1
        x3 = product0 & mask
        key0 = (key0 + np.uint64(0x9E3779B9)) & mask
        key1 = (key1 + np.uint64(0xBB67AE85)) & mask
    return x0, x1, x2, x3


@kernel
def bits(seed: int, night: int, place: int, entity: int, stream: int, ordinal: int) -> int:
    """32 random bits of an address, as an integer in 0 .. 2**32 - 1."""
    w0, w1, w2, w3 = philox(
        place & 0xFFFFFFFF, (place >> 32) & 0xFFFFFFFF, entity & 0xFFFFFFFF, (stream >> 2) << 20 | ordinal, seed, night
    )
    word = stream & 3
    if word < 2:
        return np.int64(w0 if word == 0 else w1)  # type: ignore[return-value]  # numpy's integer is an int to every caller
    return np.int64(w2 if word == 2 else w3)  # type: ignore[return-value]  # as above


@kernel
def words(seed, night, place, stream, ordinal, count, w0, w1, w2, w3):  # type: ignore[no-untyped-def]  # as `philox`
    """`bits` of `count` entities from 0 on and of four streams, the first a multiple of 4: fills int64[count] each.

    The rounds of `philox` stand here once more, because the compiler makes vectors only of a loop that it sees whole.
    """
    mask = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    low, high = np.uint64(place & 0xFFFFFFFF), np.uint64((place >> 32) & 0xFFFFFFFF)
    purpose = np.uint64((stream >> 2) << 20 | ordinal)
    for entity in range(count):
        x0, x1, x2, x3 = low, high, np.uint64(entity), purpose
        key0, key1 = np.uint64(seed), np.uint64(night)
        for _ in range(10):
            product0 = np.uint64(0xD2511F53) * x0
            product1 = np.uint64(0xCD9E8D57) * x2
            x0 = (product1 >> shift) ^ x1 ^ key0
            x1 = product1 & mask
            x2 = (product0 >> shift) ^ x3 ^ key1
            x3 = product0 & mask
            key0 = (key0 + np.uint64(0x9E3779B9)) & mask
            key1 = (key1 + np.uint64(0xBB67AE85)) & mask
        w0[entity] = np.int64(x0)
        w1[entity] = np.int64(x1)
        w2[entity] = np.int64(x2)
        w3[entity] = np.int64(x3)


@kernel
def quantile(table: Integers, random_bits: int) -> int:
    """The value of a quantile table at random_bits / 2**32, linear between its TABLE_STEPS + 1 points."""
    step = random_bits >> _STEP_BITS
    low = table[step]
    return low + (((table[step + 1] - low) * (random_bits & _STEP_MASK)) >> _STEP_BITS)  # type: ignore[no-any-return]  # an int64


@kernel
def between(low: int, high: int, random_bits: int) -> int:
    """An integer of low .. high (inclusive), each equally likely up to 2**-32."""
    return low + (((high - low + 1) * random_bits) >> 32)


@kernel
def chance(share: int, random_bits: int) -> bool:
    """True with probability share / 2**32; share = CERTAIN is always, 0 is never."""
    return random_bits < share
