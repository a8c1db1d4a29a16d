"""Limits for those who try join codes, and for those who join again and again. Nothing is stored."""

from __future__ import annotations

from collections import OrderedDict

_ADDRESSES = 4096  # of which tries are remembered at a time


class Limit:
    """How often an address may do something: `at_once` without waiting, then once in `every_s`."""

    def __init__(self, at_once: int, every_s: float) -> None:
        self._at_once, self._every_s = at_once, every_s
        self._full_until: OrderedDict[str, float] = OrderedDict()  # by address: when all its tries are free again

    def wait_s(self, address: str, now_s: float) -> float:
        """How long this address has to wait before its next try; 0 where it need not."""
        busy_s = self._full_until.get(address, 0.0) - now_s
        return max(0.0, busy_s - (self._at_once - 1) * self._every_s)

    def took(self, address: str, now_s: float) -> None:
        """It has tried once more."""
        self._full_until[address] = max(now_s, self._full_until.pop(address, 0.0)) + self._every_s
        while len(self._full_until) > _ADDRESSES:
            self._full_until.popitem(last=False)
