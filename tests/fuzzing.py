"""Shared by the fuzz tests: the number of examples, and a strategy that damages bytes."""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st


def fuzz_settings(examples: int) -> settings:
    """Settings for `examples` examples, or for DCGAN_FUZZ of them."""
    return settings(
        max_examples=int(os.environ.get("DCGAN_FUZZ", examples)),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


_DAMAGE_KINDS = ["flip", "overwrite", "number", "cut out", "insert", "end", "repeat", "swap"]


@st.composite
def damage(draw, near=(64, 512, 2**20)):
    """A function that makes one to five small changes to bytes.

    Each change begins within the first n bytes, for an n sampled from `near`.
    """
    changes = []
    for _ in range(draw(st.integers(1, 5))):
        end = draw(st.sampled_from(near))
        at, length = draw(st.integers(0, end)), draw(st.integers(1, 64))
        junk = draw(st.binary(min_size=1, max_size=16))
        number = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31, 2**32 - 1, 2**63]))
        changes.append((draw(st.sampled_from(_DAMAGE_KINDS)), at, length, junk, number))

    def damaged(data: bytes) -> bytes:
        for kind, at, length, junk, number in changes:
            at %= max(len(data), 1)
            before, after = data[:at], data[at:]
            if kind == "flip":
                data = before + bytes([byte ^ 1 << length % 8 for byte in after[:1]]) + after[1:]
            elif kind == "overwrite":
                data = before + junk + after[len(junk) :]
            elif kind == "number":
                size = 1 << length % 4
                order = "little" if length % 2 else "big"
                data = before + (number % 256**size).to_bytes(size, order) + after[size:]
            elif kind == "cut out":
                data = before + after[length:]
            elif kind == "insert":
                data = before + junk + after
            elif kind == "end":
                data = before
            elif kind == "repeat":
                data = before + after[:length] * 3 + after[length:]
            else:
                data = before + after[length : 2 * length] + after[:length] + after[2 * length :]
        return data

    return damaged
