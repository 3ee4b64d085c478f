"""JSON, times and durations, as they go to the native module and come back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, Final, Literal, Union

from . import _errors

#: A JSON value. Tuples are lists.
Json = Union[None, bool, int, float, str, Sequence["Json"], Mapping[str, "Json"]]

#: A length of time: a number of seconds, or a ``timedelta``.
Duration = Union[int, float, timedelta]


class Unset(Enum):
    """Says that an argument was not given, where ``None`` is a value: JSON has a ``null``."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET

#: A JSON value, or nothing at all.
OptionalJson = Union[Json, Literal[Unset.UNSET]]


def text_of(members: Mapping[str, object]) -> str:
    """The JSON text of an object. A member that JSON does not have is refused by its name."""
    try:
        return _checked(_encode(members))
    except (TypeError, ValueError, RecursionError):
        for name, value in members.items():
            value_text(value, name)
        raise


def value_text(value: object, field: str) -> str:
    """The JSON text of a value. What JSON does not have is refused by the name of its field."""
    try:
        return _checked(_encode(value))
    except (TypeError, ValueError, RecursionError) as error:
        told = "it contains itself, or is too deep" if isinstance(error, RecursionError) else error
        raise _errors.invalid(field, f"must be JSON: {told}") from error


def _checked(text: str) -> str:
    # Half of a surrogate pair, as in names of files that are no UTF-8, is no text elsewhere. Its error is a ValueError.
    text.encode()
    return text


# NaN and infinities are no JSON. Texts go as UTF-8, without escapes.
_encoder = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _encoding() -> Callable[[object], str]:
    """How a value is encoded: as the encoder does it, which makes its other half anew for each text. That takes as long as a small text."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return _encoder.encode
    # No marks of what was visited: a circle ends at the interpreter's limit of recursion.
    encode = make(None, _encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    return lambda value: "".join(encode(value, 0))


_encode = _encoding()


def value_of(text: str) -> Any:
    """The value of a JSON text."""
    return json.loads(text)


def instant_text(at: object, field: str) -> str:
    """An instant for the ledger. One without an offset is refused: nobody could tell which instant it is."""
    if not isinstance(at, datetime):
        raise _errors.invalid(field, f"a datetime with an offset from UTC, not {type(at).__name__}")
    if at.utcoffset() is None:
        raise _errors.invalid(
            field, f"needs an offset from UTC: {at.isoformat()} may be any of 24 hours; "
            "use `datetime.now(timezone.utc)` or `.astimezone()`"
        )
    try:
        return at.astimezone(timezone.utc).isoformat(timespec="microseconds")
    except OverflowError as error:
        raise _errors.invalid(field, "an instant of the years 1 to 9999 in UTC") from error


def instant_of(text: str) -> datetime:
    """An instant of the ledger, in UTC."""
    # Python 3.10 does not know the Z.
    return datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def micros_of(at: datetime, field: str) -> int:
    """The microseconds since 1970 of an instant with an offset."""
    instant_text(at, field)
    return (at - _EPOCH) // _MICROSECOND


def instant_at(micros: int) -> datetime:
    """The instant that many microseconds after 1970, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


#: The longest length that a ``timedelta`` can have, in seconds.
_SECONDS_MAX = timedelta.max.total_seconds()


def seconds_of(length: object, field: str) -> float:
    """A length in seconds. What is not a length is refused by the name of its field."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= _SECONDS_MAX:
        raise _errors.invalid(field, "a number of seconds from 0, or a timedelta")
    return float(seconds)


def micros_of_length(length: object, field: str) -> int:
    """A length in microseconds."""
    if isinstance(length, timedelta) and length >= timedelta(0):
        return length // _MICROSECOND
    return round(seconds_of(length, field) * 1_000_000)


def length_text(length: object, field: str) -> str:
    """A length as the ledger writes it, such as ``90s``: so what was given equals what comes back."""
    micros = micros_of_length(length, field)
    for unit, size in _SIZES:
        # A minute is 60s.
        if micros % size == 0 and micros != 0 and (unit, micros) != ("m", size):
            return f"{micros // size}{unit}"
    return "0s"


_UNITS = {
    "us": timedelta(microseconds=1),
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


#: The units, the largest first, in microseconds.
_SIZES = [(unit, size // _MICROSECOND) for unit, size in reversed(_UNITS.items())]


def duration_of(text: str) -> timedelta:
    """A length of the ledger, such as ``60s``."""
    unit = text.lstrip("0123456789")
    return int(text.removesuffix(unit)) * _UNITS[unit]
