# SPDX-License-Identifier: BSD-3-Clause
"""One extension from all C sources; everything else is in pyproject.toml.

``MLPCORE_SANITIZE=1`` builds it with AddressSanitizer and UndefinedBehaviorSanitizer.
``SOURCE_DATE_EPOCH`` is the time of all that is packed: the archives then have the same bytes
wherever and whenever they are built.
"""

import gzip
import os
import sys
import sysconfig
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from glob import glob

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist
from setuptools.modified import newer_group

SANITIZE = os.environ.get("MLPCORE_SANITIZE") == "1"
# One wheel for all Python versions, but for those without the GIL: they have no stable ABI yet.
STABLE_ABI = not sysconfig.get_config_var("Py_GIL_DISABLED")
# setuptools would take a new folder for each editable build; what cannot be mixed stays apart here.
OBJECTS = f"build/{sysconfig.get_config_var('EXT_SUFFIX').split('.')[1]}{'-sanitize' * SANITIZE}"


# Who may read a file is packed with it.
os.umask(0o022)


class ReproducibleSdist(sdist):
    """Nothing of the machine is packed: no owner, no time of a checkout, no order of a folder."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, **_unused):
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))

        def impersonal(member):
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = epoch
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        path = f"{base_name}.tar.gz"
        with (
            open(path, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=epoch) as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(base_dir, filter=impersonal)
        return path


class BuildChangedInParallel(build_ext):
    """Compile side by side, and only what changed: setuptools takes all sources, one by one."""

    def build_extension(self, ext):
        self.build_temp = OBJECTS
        # The folders that this interpreter was linked from are of no use elsewhere.
        if self.compiler.compiler_type == "unix":
            self.compiler.linker_so = [
                word
                for word in self.compiler.linker_so
                if not word.startswith(("-L", "-Wl,-rpath", "-Wl,-R"))
            ]
        # MSVC's is looked for by the first file, and that is no work for several threads at once.
        if self.compiler.compiler_type == "msvc" and not self.compiler.initialized:
            self.compiler.initialize()
        compile_all = self.compiler.compile

        def compile_changed(sources, output_dir, depends, **options):
            def compile_one(source):
                objects = self.compiler.object_filenames([source], output_dir=output_dir)
                if self.force or newer_group([source, *depends], objects[0]):
                    compile_all([source], output_dir=output_dir, **options)
                return objects

            with ThreadPoolExecutor(os.cpu_count()) as pool:
                return [path for objects in pool.map(compile_one, sources) for path in objects]

        self.compiler.compile = compile_changed
        super().build_extension(ext)


if sys.platform == "win32":
    compile_args, link_args, libraries = ["/O2", "/std:c11", "/experimental:c11atomics"], [], []
else:
    # No value-changing optimisation: -ffast-math would alter results, and with gcc < 13 even switch
    # on flush-to-zero for the whole process. Code for one instruction set is chosen in the sources.
    compile_args = ["-std=c11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
    compile_args += ["-fvisibility=hidden", "-pthread"]
    link_args, libraries = ["-pthread"], ["m"]
    if SANITIZE:
        # -fno-wrapv: CPython's own flags define signed overflow, which would hide it.
        sanitizers = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
        compile_args += ["-O1", "-g", "-UNDEBUG", "-fno-wrapv", *sanitizers]
        link_args += sanitizers
    else:
        compile_args += ["-O2", "-g0"]  # -O3: a tenth more code, no faster
        if sys.platform == "linux" and "bdist_wheel" in sys.argv:
            link_args += ["-Wl,-s"]  # names of functions are for a profiler, not for a wheel

headers = sorted(glob("src_c/**/*.h", recursive=True))
binding = ["mlpcore/_mlpcore_h.pxd", *sorted(glob("mlpcore/binding/*"))]
macros = [("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")]
if STABLE_ABI:
    macros += [("Py_LIMITED_API", "0x030B0000")]
setup(
    cmdclass={"build_ext": BuildChangedInParallel, "sdist": ReproducibleSdist},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ABI else {},
    ext_modules=[
        Extension(
            "mlpcore._core",
            sources=["mlpcore/_core.pyx", *sorted(glob("src_c/**/*.c", recursive=True))],
            depends=[*binding, *headers, "setup.py"],
            include_dirs=["src_c", numpy.get_include()],
            define_macros=macros,
            py_limited_api=STABLE_ABI,
            extra_compile_args=compile_args,
            extra_link_args=link_args,
            libraries=libraries,
        )
    ],
)
