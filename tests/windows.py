# SPDX-License-Identifier: BSD-3-Clause
"""Programs for Windows, compiled and run on another system: mingw-w64 and Wine."""

import os
import shutil
from pathlib import Path

COMPILER = "x86_64-w64-mingw32-gcc"
# Debian's package wine64 alone puts it into no folder of PATH.
WINE = shutil.which("wine64", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/lib/wine")
MISSING = [
    name
    for name, found in [
        (f"{COMPILER} (gcc-mingw-w64-x86-64)", shutil.which(COMPILER)),
        ("wine64 (wine64)", WINE),
    ]
    if not found
]
REASON = f"needs {' and '.join(MISSING)}"


def launcher(directory: Path) -> list[str]:
    """What stands before a program's name; Wine's own files go to `directory`."""
    assert WINE is not None
    return ["env", f"WINEPREFIX={directory / 'wine'}", "WINEDEBUG=-all", WINE]
