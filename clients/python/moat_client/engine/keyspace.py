"""Split a range of IDs that are not known here: texts that sort between two texts.

Pure: no I/O, clock, or randomness.
"""

_LOW, _HIGH = 0x20, 0x7E
_BASE = _HIGH - _LOW + 1
_EXTRA = 8


def between(low: str | None, high: str | None, *, pieces: int) -> list[str]:
    """Return up to `pieces` − 1 ascending texts strictly between `low` and `high` (None: open), about evenly spaced.

    The texts are printable ASCII; IDs beyond it all fall into the last piece. The result is empty when nothing sorts
    between the bounds.
    """
    width = _shared(low or "", high) + _EXTRA
    start, end = _number(low or "", width), _number(high, width) if high is not None else _BASE**width - 1
    marks = {_text(start + (end - start) * n // pieces, width) for n in range(1, pieces)}
    return sorted(mark for mark in marks if mark > (low or "") and (high is None or mark < high))


def _shared(low: str, high: str | None) -> int:
    if high is None:
        return 0
    pairs = zip(low, high, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(low), len(high)))


def _number(text: str, width: int) -> int:
    number = 0
    for character in text[:width].ljust(width, chr(_LOW)):
        number = number * _BASE + min(max(ord(character), _LOW), _HIGH) - _LOW
    return number


def _text(number: int, width: int) -> str:
    digits: list[str] = []
    for _ in range(width):
        number, digit = divmod(number, _BASE)
        digits.append(chr(_LOW + digit))
    return "".join(reversed(digits)).rstrip(chr(_LOW))
