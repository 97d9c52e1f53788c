# SPDX-License-Identifier: BSD-3-Clause
"""``python -m mlpcore``, see `command_line`."""

import sys

from .command_line import main

if __name__ == "__main__":
    sys.exit(main())
