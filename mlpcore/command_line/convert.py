# SPDX-License-Identifier: BSD-3-Clause
"""Turn a net's file into one of another kind, as the names end.

    mlpcore convert model.safetensors model.onnx
    mlpcore convert model.safetensors model.h --jacobian
    mlpcore convert weights.pt model.safetensors --activations relu,softmax

Read and written: .safetensors (mlpcore's own; read also PyTorch's), .onnx (needs onnx) and .pt (a
state_dict; needs torch). Written alone: .h, a header in C99. Weights without a net, PyTorch's, need
--activations. A table's encoding stays behind: `mlpcore info` lists it.
"""

import argparse
import io
import os
import sys

from .. import _safetensors, files
from .._optional import library
from .._replace import replace_file
from ..mlp import MLP
from .arguments import names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command understands."""
    parser.add_argument("source", help="a file of .safetensors, .onnx or .pt")
    parser.add_argument("output", help="a file of .safetensors, .onnx, .pt or .h")
    parser.add_argument(
        "--activations",
        type=names,
        metavar="NAMES",
        help="of PyTorch's weights, between commas: one for each layer, or that of the hidden ones",
    )
    header = parser.add_argument_group("of a header in C")
    header.add_argument("--name", help="what its names begin with (default: that of the file)")
    header.add_argument("--jacobian", action="store_true", help="write a function for dy/dx too")
    header.add_argument(
        "--train-step", metavar="LOSS", help="write a step of training on this loss too"
    )


def run(arguments: argparse.Namespace) -> None:
    """Read one file, write the other."""
    source, output = arguments.source, arguments.output
    readers = {".safetensors": read_safetensors, ".onnx": read_onnx, ".pt": read_pt}
    writers = {".safetensors": files.save, ".onnx": MLP.to_onnx, ".pt": write_pt}
    read = readers.get(ending(source))
    if read is None:
        raise ValueError(f"{source}: expected a file of {', '.join(readers)}")
    write = writers.get(ending(output))
    if write is None and ending(output) != ".h":
        raise ValueError(f"{output}: expected a file of {', '.join(writers)} or .h")
    net = read(source, arguments.activations)
    if write is not None:
        check_no_header_options(arguments)
        write(net, output)
    else:
        name = arguments.name or os.path.splitext(os.path.basename(output))[0]
        if not (name[0].isalpha() and name.isidentifier() and name.isascii()):
            raise argparse.ArgumentError(
                None, f"--name: expected an identifier of C that begins with a letter, got {name!r}"
            )
        print(net.to_c(output, name, arguments.jacobian, arguments.train_step))


def ending(path: str) -> str:
    """How the name of a file ends, in small letters."""
    return os.path.splitext(path)[1].lower()


def check_no_header_options(arguments: argparse.Namespace) -> None:
    """Refuse what would not be done."""
    for option in ("name", "jacobian", "train_step"):
        if getattr(arguments, option):
            raise argparse.ArgumentError(
                None, f"--{option.replace('_', '-')} is of a header, got {arguments.output}"
            )


def read_safetensors(path: str, activations: list[str] | None) -> MLP:
    """Our own file, or PyTorch's weights with activations."""
    metadata, _ = _safetensors.read(path)
    if metadata.get("format") == "mlpcore":
        check_no_activations(path, activations)
        if "table" in metadata:
            print(f"{path}: the table's encoding stays behind", file=sys.stderr)
        return files.load(path)
    return MLP.from_torch(path, single(activations, path))


def read_onnx(path: str, activations: list[str] | None) -> MLP:
    """A model that says itself which activations it has."""
    check_no_activations(path, activations)
    return MLP.from_onnx(path)


def read_pt(path: str, activations: list[str] | None) -> MLP:
    """A state_dict that torch has saved; what else such a file could hold is not executed."""
    given = single(activations, path)
    torch = library("torch", f"reading {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of many kinds, pickle's among them
        raise ValueError(
            f"{path}: expected a state_dict that torch has saved: {str(error).splitlines()[0]}"
        ) from None
    return MLP.from_torch(content, given)


def write_pt(net: MLP, path: str) -> None:
    """Write a state_dict as torch does, in full or not at all."""
    torch = library("torch", f"writing {path}")
    content = io.BytesIO()
    torch.save(net.to_torch().state_dict(), content)
    replace_file(path, [content.getvalue()])


def check_no_activations(path: str, activations: list[str] | None) -> None:
    """Refuse what would not count."""
    if activations is not None:
        raise argparse.ArgumentError(None, f"--activations: {path} says itself which it has")


def single(activations: list[str] | None, path: str) -> str | list[str]:
    """A single name as itself: that of the hidden layers."""
    if activations is None:
        raise argparse.ArgumentError(
            None, f"{path} holds weights alone: give --activations, such as relu,identity"
        )
    return activations[0] if len(activations) == 1 else activations
