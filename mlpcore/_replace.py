# SPDX-License-Identifier: BSD-3-Clause
"""A file that is written in full or not at all.

A temporary file in the same folder is written, synchronised with the disk and put in the place of
the old one, so that whoever reads sees one or the other, even after a power cut.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from typing import Any

from ._checks import as_path


def replace_file(path: str | os.PathLike[str], parts: Iterable[Any]) -> None:
    """Put a file with these bytes in the place of `path`, or leave all as it was.

    A link stays, and its file is replaced. Raises OSError with the name that was asked for.
    """
    name = os.path.realpath(as_path(path))
    folder = os.path.dirname(name)
    temporary = os.path.join(folder, f".{os.path.basename(name)[:100]}.{os.urandom(8).hex()}.tmp")
    made = False
    try:
        with open(temporary, "xb") as file:
            made = True
            for part in parts:
                file.write(part)
            file.flush()
            if os.path.exists(name):
                os.chmod(temporary, stat.S_IMODE(os.stat(name).st_mode))
            os.fsync(file.fileno())
        os.replace(temporary, name)
    except BaseException as error:
        if made:
            os.unlink(temporary)
        if isinstance(error, OSError):  # it is about the file that was asked for
            raise type(error)(error.errno, error.strerror, name) from None
        raise
    if sys.platform != "win32":  # which cannot open a folder; the new name is durable there
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
