"""Worker processes that end with the process that they work for, however that ends."""

from __future__ import annotations

import os
import threading
import time
from functools import cache

_LOOK_EVERY_S = 1.0


@cache
def end_with(parent: int) -> None:
    """Ends this process soon after `parent`, the id of the process that started it, is gone. Once for each worker."""
    if parent != os.getpid():
        threading.Thread(target=_wait_for_end_of, args=(parent,), daemon=True).start()


def _wait_for_end_of(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(1)
