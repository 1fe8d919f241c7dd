"""Silence for libraries that log, as an error, what we report ourselves in one line."""

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Drops every log record up to ERROR while it lasts, in all threads."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
