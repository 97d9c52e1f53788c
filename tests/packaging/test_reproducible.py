# SPDX-License-Identifier: BSD-3-Clause
"""The same sources give the same bytes, wherever and whenever they are packed and compiled."""

import os
import shutil
import sys
import zipfile

import pytest
from test_packaging import ROOT, copy_of_the_sources, output_of

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def two_builds(tmp_path_factory):
    """Two folders with a source distribution and a wheel each, built from nothing."""
    folders = []
    for mask in (0o022, 0o077):
        folder = tmp_path_factory.mktemp("build-of-another-name" if folders else "build")
        checkout = copy_of_the_sources(folder / f"checkout{len(folders)}")
        before = os.umask(mask)
        try:
            build = (sys.executable, "-m", "build", "--no-isolation")
            date = {"SOURCE_DATE_EPOCH": "1700000000"}
            output_of(*build, "--outdir", folder / "dist", checkout, **date)
        finally:
            os.umask(before)
        # The next one at other times of all files.
        shutil.rmtree(checkout)
        folders.append(folder / "dist")
    return folders


@pytest.mark.parametrize("kind", ["*.tar.gz", "*.whl"])
def test_same_sources_give_the_same_bytes(two_builds, kind):
    first, second = (next(folder.glob(kind)) for folder in two_builds)
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_no_path_of_this_machine_is_in_the_extension(two_builds):
    (wheel,) = two_builds[0].glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if "/_core." in name and "pyi" not in name)
        code = archive.read(name)
    for path in (ROOT, two_builds[0].parent, sys.prefix, sys.base_prefix):
        assert os.fsencode(path) not in code
