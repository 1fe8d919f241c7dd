"""One file from a server: resumed where it was cut, and in its place only when it is right.

What has come of NAME lies in NAME.<tag>.part, the tag standing for the version that the server
said it sends: of another version nothing is taken, so that no two are spliced.
"""

import fcntl
import hashlib
import http
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from prune_rl.dataset_tool import server
from prune_rl.dataset_tool.server import Cut, Missing, Offer
from prune_rl.datasets.experience import Damaged
from prune_rl.datasets.gzip_files import open_gzip
from prune_rl.errors import ConfigError

Watch = Callable[[int], None]  # told of bytes that came, or (less than 0) went; raises to stop


class Wanted(NamedTuple):
    """A file to fetch.

    Attributes:
        url: where it is, percent-encoded.
        path: where it goes.
        sha256: what it must be, in hexadecimal digits; None where no list says so.
    """

    url: str
    path: Path
    sha256: str | None = None


class Corrupt(OSError):  # noqa: N818
    """What came is not what it should be, twice."""


def is_there(wanted: Wanted, offer: Offer) -> bool:
    """Whether the file is in its place, of the right size and checksum."""
    return wanted.path.exists() and _fault(wanted.path, wanted, offer, thorough=False) is None


def kept(wanted: Wanted, offer: Offer) -> int:
    """How many bytes of this very version have come before."""
    size = _size(_part(wanted, offer)) if offer.version else 0
    return 0 if offer.size is not None and size > offer.size else size


def download(wanted: Wanted, offer: Offer, watch: Watch) -> None:
    """Puts the file in its place, whole and checked; what is corrupt is fetched once more.

    Raises:
        Corrupt: names the file, the URL and both checksums.
        OSError: the server keeps failing, or the disk; what came is kept for the next time.
        ConfigError: the server refuses, or another process fetches the file.
    """
    wanted.path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        try:
            offer = _receive(wanted, offer, watch)
        except Missing as error:
            raise OSError(f"{wanted.url}: was there, and is no longer") from error
        part = _part(wanted, offer)
        fault = _fault(part, wanted, offer, thorough=True)
        if fault is None:
            return _put_in_place(part, wanted.path)
        watch(-_size(part))
        part.unlink()
    raise Corrupt(f"{wanted.path}: {fault}; deleted, for it came so twice from {wanted.url}")


def _receive(wanted: Wanted, offer: Offer, watch: Watch) -> Offer:
    """Gets all bytes, over as many connections as it takes; returns of which version they are."""
    most, fruitless = 0, 0
    while True:
        try:
            return _get(wanted, offer, watch)
        except Cut as error:
            have = max(_sizes_of_parts(wanted), default=0)
            most, fruitless = (have, 0) if have > most else (most, fruitless + 1)
            if fruitless == server.TRIES:
                raise server.given_up(wanted.url, error) from error
        server.pause(fruitless, watch)
        offer = server.ask(wanted.url)


def _get(wanted: Wanted, offer: Offer, watch: Watch) -> Offer:
    """What one connection brings; returns of which version it is.

    Raises:
        Cut: more is to come.
    """
    have = kept(wanted, offer)
    if have and have == offer.size:
        return offer  # killed before it was put in its place
    resume = {"Range": f"bytes={have}-", "If-Range": str(offer.version)} if have else {}
    with server.connect(wanted.url, headers=resume) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            watch(-have)
            offer, have = server.offered(response.headers), 0
        elif not server.goes_on(response.headers, have, offer):
            _discard_parts(wanted)
            watch(-have)
            raise Cut("it sent another range than was asked for")
        part = _part(wanted, offer)
        _discard_parts(wanted, but=part)
        with part.open("ab") as file:
            _lock(file, have)
            while block := server.next_block(response):
                _write(file, block)
                watch(len(block))
    if offer.size is not None and _size(part) < offer.size:
        raise Cut(f"the connection ended after {_size(part):,} of {offer.size:,} bytes")
    return offer


def _part(wanted: Wanted, offer: Offer) -> Path:
    tag = hashlib.sha256((offer.version or "").encode()).hexdigest()[:8]
    return wanted.path.with_name(f"{wanted.path.name}.{tag}.part")


def _parts(wanted: Wanted) -> list[Path]:
    start = f"{wanted.path.name}."
    around = wanted.path.parent.iterdir()
    return [x for x in around if x.name.startswith(start) and x.suffix == ".part"]


def _sizes_of_parts(wanted: Wanted) -> list[int]:
    return [_size(path) for path in _parts(wanted)]


def _discard_parts(wanted: Wanted, but: Path | None = None) -> None:
    for path in _parts(wanted):
        if path != but:
            path.unlink(missing_ok=True)


def _lock(file: IO[bytes], have: int) -> None:
    """Sees to it that nobody else writes the part, and that it has so many bytes."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(f"{file.name}: another process is fetching it") from error
    if not have:
        file.truncate(0)
    elif file.tell() != have:
        raise Cut("another process fetched some of it")


def _write(file: IO[bytes], block: bytes) -> None:
    try:
        file.write(block)
        file.flush()
    except OSError as error:
        what = f"{file.name}: {error.strerror}"
        raise OSError(f"{what}; what came is kept, the same command resumes") from error


def _put_in_place(part: Path, path: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _fault(path: Path, wanted: Wanted, offer: Offer, *, thorough: bool) -> str | None:
    """What is wrong with a file that should be whole; `thorough`: by all there is to ask."""
    size = _size(path)
    if offer.size is not None and size != offer.size:
        return f"it has {size:,} bytes, the server says {offer.size:,}"
    kind, expected = ("sha256", wanted.sha256) if wanted.sha256 else ("md5", offer.md5)
    if expected is not None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, kind).hexdigest()
        if found != expected:
            return f"its {kind} is {found}, expected {expected}"
    packed = wanted.path.suffix == ".gz" and (thorough or expected is None)
    return _gzip_fault(path) if packed else None


def _gzip_fault(path: Path) -> str | None:
    """By the CRC-32 and the length that stand at the end of the file."""
    try:
        with open_gzip(path) as file:
            file.skip()
    except Damaged as error:
        return f"it is not a whole gzip file ({str(error).removeprefix(f'{path}: ')})"
    return None


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
