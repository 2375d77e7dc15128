"""The one notation for durations in plans: seconds, or minutes with `m` behind.

The expression language has no arithmetic, so `timeout-minutes: ${{ matrix.limit }}` cannot be turned into a template of
seconds; it is kept as `${{ matrix.limit }}m`.
"""

import math

from mainstay.model.errors import BadInput


def seconds(rendered: str) -> float:
    """The seconds of a rendered duration (`90`, `1.5m`). Raises BadInput."""
    text = rendered.strip()
    number, unit = (text[:-1], 60) if text.endswith("m") else (text, 1)
    try:
        value = float(number) * unit
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise BadInput(f'a time limit must be a number above 0, and this one is "{number}"')
    return value
