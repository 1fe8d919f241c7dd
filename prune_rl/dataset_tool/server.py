"""What a web server says and sends, and which of its failures another try may mend."""

import base64
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.message import Message
from functools import partial
from typing import Any, NamedTuple, TypeVar

from prune_rl.errors import ConfigError, first_line

BLOCK = 1 << 20
TRIES = 6  # that bring nothing
_SECONDS = 30.0  # without a byte, then a connection counts as cut
_LONGEST_PAUSE = 30.0
_TRY_AGAIN = {408, 429, 500, 502, 503, 504}
_GONE = {404, 410}
_ELSEWHERE = "--mirror names another server"

_T = TypeVar("_T")


class Offer(NamedTuple):
    """What a server says of a file it has.

    Attributes:
        size: in bytes; None where it does not say.
        version: a strong ETag, else the time of the last change; None where it says neither, and
            nothing can be resumed.
        md5: in hexadecimal digits, as Google's storage says it.
    """

    size: int | None
    version: str | None
    md5: str | None


class Missing(Exception):  # noqa: N818
    """The server has no such file."""


class Unreachable(ConfigError):  # noqa: N818
    """There is no server, or no way to it."""


class Cut(Exception):  # noqa: N818
    """What another try may mend."""


class _NoConnection(Cut):
    """Not even begun."""


def ask(url: str, *, patient: bool = True) -> Offer:
    """What the server has at `url`; tries again, after pauses, where the connection is cut.

    Args:
        patient: also where there is no connection at all; else that is said at once.

    Raises:
        Missing: nothing.
        Unreachable: nobody answers.
        ConfigError: it refuses.
        OSError: it keeps failing.
    """

    def head() -> Offer:
        with connect(url, "HEAD") as response:
            return offered(response.headers)

    return _patiently(head, url, patient)


def get_text(url: str) -> str:
    """A small text file, whole.

    Raises:
        Missing, Unreachable, ConfigError, OSError: as `ask`, which is not patient.
    """

    def get() -> str:
        with connect(url) as response:
            return reading(response.read).decode("utf-8", errors="replace")

    return _patiently(get, url, patient=False)


def connect(url: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Any:
    """A response that has what was asked for: its status is 200 or 206.

    Raises:
        Missing, ConfigError: as `ask`.
        Cut: try again.
    """
    # Google's storage unpacks what was stored as packed, and then cannot resume, unless asked so.
    encoding = {"Accept-Encoding": "gzip"} if url.endswith(".gz") else {}
    request = urllib.request.Request(url, headers={**encoding, **(headers or {})}, method=method)
    try:
        return urllib.request.urlopen(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        raise _failure(url, error) from error
    except urllib.error.URLError as error:
        raise _NoConnection(_said(error.reason)) from error
    except (http.client.HTTPException, OSError) as error:
        raise Cut(_said(error)) from error


def reading(read: Callable[[], _T]) -> _T:
    """What `read` brings of a response.

    Raises:
        Cut: the connection was.
    """
    try:
        return read()
    except (http.client.HTTPException, OSError) as error:
        raise Cut(_said(error)) from error


def next_block(response: Any) -> bytes:
    """What has come, at most `BLOCK` bytes; none at the end, early or not.

    Raises:
        Cut: the connection was.
    """
    return reading(partial(response.read1, BLOCK))


def offered(headers: Message) -> Offer:
    """What the headers of a whole file say of it."""
    tag, size = headers.get("ETag"), headers.get("Content-Length", "")
    strong = tag if tag and not tag.startswith("W/") else None  # RFC 9110, 13.1.5
    sums = ",".join(headers.get_all("x-goog-hash", [])).split(",")
    md5 = next((x.strip()[4:] for x in sums if x.strip().startswith("md5=")), None)
    return Offer(
        int(size) if size.isdecimal() else None,
        strong or headers["Last-Modified"],
        base64.b64decode(md5).hex() if md5 else None,
    )


def goes_on(headers: Message, have: int, offer: Offer) -> bool:
    """Whether what comes begins after the first `have` bytes of the file that was offered."""
    unit, _, which = headers.get("Content-Range", "").partition(" ")
    span, _, total = which.partition("/")
    sized = offer.size is None or total in ("*", str(offer.size))
    same = offered(headers).version in (None, offer.version)
    return unit == "bytes" and span.partition("-")[0] == str(have) and sized and same


def pause(tries: int, watch: Callable[[int], None]) -> None:
    """0.5, 1, 2, 4, ... seconds after so many fruitless `tries`; `watch` may end it by raising."""
    until = time.monotonic() + min(0.5 * 2.0**tries, _LONGEST_PAUSE)
    while (left := until - time.monotonic()) > 0:
        watch(0)
        time.sleep(min(left, 0.1))


def given_up(url: str, error: Cut) -> OSError:
    """What to raise after so many fruitless tries."""
    what = f"{url}: {error}; given up after {TRIES} tries"
    return OSError(f"{what}; what came is kept, the same command resumes")


def _patiently(request: Callable[[], _T], url: str, patient: bool) -> _T:
    """What a request for a few bytes brings, made again where it is cut."""
    for tries in range(1, TRIES):
        with suppress(Cut):
            return _once(request, url, patient)
        pause(tries, lambda _: None)
    try:
        return _once(request, url, patient)
    except Cut as error:
        raise given_up(url, error) from error


def _once(request: Callable[[], _T], url: str, patient: bool) -> _T:
    try:
        return request()
    except _NoConnection as error:
        if patient:
            raise
        what = f"{url}: no connection ({error}); is there a network?"
        raise Unreachable(f"{what} {_ELSEWHERE}") from error


def _failure(url: str, error: urllib.error.HTTPError) -> Exception:
    said = f"HTTP {error.code} {error.reason}"
    if error.code in _GONE:
        return Missing(url)
    if error.code in _TRY_AGAIN:
        return Cut(said)
    return ConfigError(f"{url}: refused ({said}); {_ELSEWHERE}")


def _said(error: object) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error) if isinstance(error, BaseException) else str(error)
