# SPDX-License-Identifier: BSD-3-Clause
"""A net as one C99 header that needs no library: its text, and how it is written.

The operations and their order are those of src_c/kernels.h, so that the bits are too.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_bool, received
from ._replace import replace_file
from ._validation import as_network
from .export_c_check import Verification, verify
from .export_c_math import CONSTANTS, FUNCTIONS, TABLES
from .export_c_text import (
    BACKWARD,
    BACKWARD_ONE,
    DENSE,
    FOOT,
    HEAD,
    LONG_DENSE,
    ROW_SUM,
    SOFTMAX,
    SOFTMAX_BACKWARD,
    WORDS,
)
from .export_c_train import TrainStep, needed_functions, stack_bytes, train_text

if TYPE_CHECKING:
    from .mlp import MLP

_CHUNK = 512  # MLP_CHUNK
_NUMBERS_PER_LINE = 6


def to_c(
    net: MLP,
    path: str | os.PathLike[str],
    name: str = "net",
    jacobian: bool = False,
    train_step: Any = None,
    batch_size: int = 1,
) -> Verification:
    """As `MLP.to_c`."""
    as_network(net)
    if not isinstance(name, str):
        raise TypeError(f"name: expected an identifier of C, got {received(name)}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name, re.ASCII):
        raise ValueError(
            f"name: expected an identifier of C that begins with a letter, got {received(name)}"
        )
    check_bool(jacobian, "jacobian")
    step = None if train_step is None else TrainStep.of(net, train_step, batch_size)
    if step is None and batch_size != 1:
        raise ValueError(f"batch_size: expected train_step with it, got {received(batch_size)}")
    for l, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        if not (np.isfinite(weight).all() and (bias is None or np.isfinite(bias).all())):
            raise ValueError(f"layer {l}: expected finite parameters, got infinity or NaN")
    text = header_text(net, name, jacobian, step)
    verification = verify(net, text.replace("VERIFICATION", "being checked"), name, jacobian, step)
    content = text.replace("VERIFICATION", str(verification)).encode("ascii", "replace")
    replace_file(path, [content])
    return verification


def header_text(net: MLP, name: str, jacobian: bool, step: TrainStep | None = None) -> str:
    """The header, in which the word VERIFICATION is to be replaced."""
    activations = set(net.activations) - {"identity"}
    functions = {"exp" if a == "softmax" else a for a in activations}
    needed = _needed(functions | (set() if step is None else needed_functions(step)))
    parts = [HEAD, *(WORDS[word] for word in WORDS if word in needed)]
    parts += [_table(table, net.dtype.itemsize == 4) for table in TABLES if table in needed]
    parts += [code for function, code in FUNCTIONS.items() if function in needed]
    is_softmax = "softmax" in activations
    parts += [ROW_SUM] if is_softmax or step is not None else []
    parts += [SOFTMAX] if is_softmax else []
    if is_softmax and (jacobian or (step is not None and not step.on_pre_activation)):
        parts.append(SOFTMAX_BACKWARD.replace("N_OUTPUTS", str(net.sizes[-1])))
    parts += [_parameters(net), LONG_DENSE if _is_long(net) else DENSE, _forward(net, step)]
    if jacobian or (step is not None and len(net.sizes) > 2):
        parts.append(BACKWARD)
    if jacobian:
        parts += [BACKWARD_ONE, _jacobian(net, step)]
    if step is not None:
        parts.append(train_text(net, step, _offsets(net)))
    text = _words_replaced("".join([*parts, FOOT]), net, name)
    return text.replace("DESCRIPTION", _description(net, name, jacobian, step))


def literal(value: Any, single: bool) -> str:
    """A constant of C99 that is this number to the bit, rounded to float first where `single`."""
    number = float(np.float32(value)) if single else float(value)
    text = f"{number:.1f}" if number.is_integer() and abs(number) < 1e6 else number.hex()
    return re.sub(r"\.?0*(?=p)", "", text) + ("f" if single else "")


# ---- functions ----------------------------------------------------------------------------------


def _needed(names: set[str]) -> set[str]:
    """These functions, and the functions, words and tables that they need."""
    found: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue += re.findall(r"\bNAME_(\w+)", FUNCTIONS.get(name, "") + WORDS.get(name, ""))
    return found


def _table(table: str, single: bool) -> str:
    numbers = [literal(float.fromhex(n), single) for n in TABLES[table][not single].split()]
    return f"\nstatic const REAL NAME_{table}[{len(numbers)}] = {{\n{_lines(numbers)}}};\n"


def _words_replaced(text: str, net: MLP, name: str) -> str:
    single = net.dtype.itemsize == 4

    def constant(match: re.Match[str]) -> str:
        sign, word = match.groups()
        pair = CONSTANTS.get(word)
        value = _number(word if pair is None else pair[not single])
        return literal(-value if sign else value, single)

    def count(match: re.Match[str]) -> str:
        return str(len(TABLES[match.group(1)][not single].split()))

    text = re.sub(r"\bDOUBLE\(([^()]+)\)", lambda m: literal(float(m.group(1)), False), text)
    text = re.sub(r"(-?)\bC\(([^()]+)\)", constant, text)
    text = re.sub(r"\bCOUNT\((\w+)\)", count, text)
    words = {
        "REAL": ("float", "double"),
        "BITS": ("uint32_t", "uint64_t"),
        "SIGN_BIT": ("31", "63"),
        "EXPONENT_SHIFT": ("23", "52"),
        "EXPONENT_BIAS": ("127", "1023"),
        "ROUND_MAGIC": ("12582912.0f", "6755399441055744.0"),
        "POW2_MAGIC": ("12583039.0f", "6755399441056767.0"),
        "LDEXP_MAGIC": ("12583166.0f", "6755399441057790.0"),
        "FMA_BUILTIN": ("__builtin_fmaf", "__builtin_fma"),
        "FMA_IS_FAST": (
            "defined(__FMA__) || defined(__FP_FAST_FMAF) || defined(__ARM_FEATURE_FMA)",
            "defined(__FMA__) || defined(__FP_FAST_FMA) || defined(__aarch64__)",
        ),
        "NAME_FMA": (f"{name.upper()}_FMA",) * 2,
        "NAME_FNMA": (f"{name.upper()}_FNMA",) * 2,
        "NAME_H": (f"{name.upper()}_H",) * 2,
    }
    text = re.sub(rf"\b({'|'.join(words)})\b", lambda m: words[m.group(1)][not single], text)
    return re.sub(r"\bNAME_", f"{name}_", text)


def _number(text: str) -> float:
    return float.fromhex(text) if "x" in text else float(text)


# ---- the net ------------------------------------------------------------------------------------


def _is_long(net: MLP) -> bool:
    return max(net.sizes[:-1]) > _CHUNK


def _widest(net: MLP) -> int:
    return max(net.sizes[1:-1], default=0)


def _parameters(net: MLP) -> str:
    single = net.dtype.itemsize == 4
    parts = [
        "\n/* Layer after layer the weight as (n_inputs, n_outputs), then the bias. */\n"
        f"static const REAL NAME_parameters[{net.n_parameters}] = {{\n"
    ]
    for weight, bias in zip(net.weights, net.biases, strict=True):
        for array in (weight.T, bias):
            if array is not None:
                numbers = [literal(value, single) for value in array.reshape(-1).tolist()]
                parts.append(_lines(numbers))
    return "".join([*parts, "};\n"])


def _offsets(net: MLP) -> list[tuple[int, int | None]]:
    """Where the weight and the bias of each layer begin in the parameters."""
    found: list[tuple[int, int | None]] = []
    position = 0
    for weight, bias in zip(net.weights, net.biases, strict=True):
        after = position + weight.size
        found.append((position, None if bias is None else after))
        position = after + (0 if bias is None else bias.size)
    return found


def _place(offset: int | None, parameters: str) -> str:
    if offset is None:
        return "NULL"
    return f"{parameters} + {offset}" if offset else parameters


def _lines(numbers: list[str]) -> str:
    starts = range(0, len(numbers), _NUMBERS_PER_LINE)
    return "".join(f"    {', '.join(numbers[i : i + _NUMBERS_PER_LINE])},\n" for i in starts)


def _layers(net: MLP, derivatives: bool, parameters: str) -> list[str]:
    """Lines that go through all layers; with derivatives, d_l gets f'(z) of layer l."""
    lines = []
    source = "x"
    last = len(net.activations) - 1
    offsets = _offsets(net)
    for l, name in enumerate(net.activations):
        n_inputs, n_outputs = net.sizes[l : l + 2]
        target = "y" if l == last else "ab"[l % 2]
        weight, bias = (_place(offset, parameters) for offset in offsets[l])
        chunk = ", chunk" if _is_long(net) else ""
        lines.append(
            f"    NAME_dense({n_inputs}, {n_outputs}, {weight}, {bias}, {source}, {target}{chunk});"
        )
        if name == "softmax":
            lines.append(f"    NAME_softmax({n_outputs}, {target});")
        elif name != "identity":
            d = f"&d_{l}[j]" if derivatives else "NULL"
            call = f"NAME_{name}({target}[j], &{target}[j], {d});"
            lines.append(f"    for (j = 0; j < {n_outputs}; j++) {call}")
        source = target
    return lines


def _head(function: str, arguments: str, step: TrainStep | None) -> tuple[str, str]:
    """How a function begins, and what it calls the parameters: those of the caller with a step."""
    if step is None:
        return f"\nstatic inline void NAME_{function}({arguments}) {{", "NAME_parameters"
    head = f"\nstatic inline void NAME_{function}_with(const REAL *parameters, {arguments}) {{"
    return head, "parameters"


def _with_own_parameters(function: str, arguments: str, step: TrainStep | None) -> list[str]:
    """The function for the parameters in the header, where another takes those of the caller."""
    if step is None:
        return []
    names = ", ".join(re.findall(r"\*(\w+)", arguments))
    return [
        f"\nstatic inline void NAME_{function}({arguments}) {{",
        f"    NAME_{function}_with(NAME_parameters, {names});",
        "}\n",
    ]


def _forward(net: MLP, step: TrainStep | None) -> str:
    arguments = "const REAL *x, REAL *y"
    head, parameters = _head("forward", arguments, step)
    lines = [head]
    lines += _buffers(net)
    if set(net.activations) - {"identity", "softmax"}:
        lines.append("    size_t j;")
    lines += [*_layers(net, False, parameters), "}\n"]
    return "\n".join([*lines, *_with_own_parameters("forward", arguments, step)])


def _jacobian(net: MLP, step: TrainStep | None) -> str:
    """Backward from each output in turn: the products of `MLP.vjp`, in its order."""
    last = len(net.activations) - 1
    n_outputs, n_inputs = net.sizes[-1], net.sizes[0]
    elementwise = [l for l, a in enumerate(net.activations) if a not in ("identity", "softmax")]
    arguments = "const REAL *x, REAL *y, REAL *dy_dx"
    head, parameters = _head("jacobian", arguments, step)
    lines = [head]
    lines += _buffers(net)
    lines += [f"    REAL d_{l}[{net.sizes[l + 1]}];" for l in elementwise]
    is_softmax = net.activations[-1] == "softmax"
    if is_softmax:
        lines.append(f"    REAL dz[{n_outputs}];")
    lines.append(f"    size_t {'j, ' if elementwise or is_softmax else ''}k;")
    lines += _layers(net, True, parameters)
    lines.append(f"    for (k = 0; k < {n_outputs}; k++) {{")
    if is_softmax:
        unit = "dz[j] = j == k ? C(1) : C(0);"
        lines += [
            f"        for (j = 0; j < {n_outputs}; j++) {unit}",
            "        NAME_softmax_backward(y, dz);",
        ]
    source = "dz"
    for l in range(last, -1, -1):
        target = f"dy_dx + k * {n_inputs}" if l == 0 else "ab"[(l - 1) % 2]
        below = f"d_{l - 1}" if l - 1 in elementwise else "NULL"
        shape = f"{net.sizes[l]}, {net.sizes[l + 1]}"
        weight = _place(_offsets(net)[l][0], parameters)
        if l == last and not is_softmax:
            slope = f"d_{l}[k]" if l in elementwise else "C(1)"
            call = f"NAME_backward_one({shape}, {weight} + k, {slope}, {below}, {target});"
        else:
            call = f"NAME_backward({shape}, {weight}, {source}, {below}, {target});"
        lines.append(f"        {call}")
        source = target
    lines += ["    }", "}\n"]
    return "\n".join([*lines, *_with_own_parameters("jacobian", arguments, step)])


def _buffers(net: MLP) -> list[str]:
    width = _widest(net)
    count = min(len(net.sizes) - 2, 2)
    lines = (
        [f"    REAL {', '.join(f'{buffer}[{width}]' for buffer in 'ab'[:count])};"] if count else []
    )
    if _is_long(net):
        lines.append(f"    REAL chunk[{max(net.sizes[1:])}];")
    return lines


def _description(net: MLP, name: str, jacobian: bool, step: TrainStep | None) -> str:
    from . import __version__

    real = "float" if net.dtype.itemsize == 4 else "double"
    n_inputs, n_outputs = net.sizes[0], net.sizes[-1]
    lines = [
        f"{name}.h - the multi-layer perceptron {'-'.join(map(str, net.sizes))} "
        f"({', '.join(net.activations)}) in {real}.",
        f"Written by mlpcore {__version__}; do not edit.",
        "",
        f"    {name}_forward(x, y)            y[{n_outputs}] of x[{n_inputs}]",
    ]
    if jacobian:
        lines += [
            f"    {name}_jacobian(x, y, dy_dx)    and dy_dx[{n_outputs} * {n_inputs}], "
            f"in which dy[k]/dx[i] is number k * {n_inputs} + i",
        ]
    if step is not None:
        size = step.batch_size
        functions = f"{name}_forward_with" + (f" and {name}_jacobian_with" if jacobian else "")
        lines += [
            f"    {name}_train_step(parameters, x, y, learning_rate)",
            "",
            f"{name}_train_step learns {size} row{'s' if size > 1 else ''}, "
            f"x[{size} * {n_inputs}] and targets y[{size} * {n_outputs}], by plain SGD on",
            f"{step.loss!r}. It returns the loss before the step;",
            "NaN or infinity means that something was not finite, and no parameter has changed.",
            f"parameters[{net.n_parameters}] is an array of yours, "
            f"{net.n_parameters * net.dtype.itemsize} bytes; begin with a copy of "
            f"{name}_parameters.",
            f"{functions} take it before their other arguments.",
            f"A step has arrays of {stack_bytes(net, step)} bytes on the stack, and the file none "
            "that can change.",
        ]
    lines += [
        "",
        "C99, no allocation, no library. The arrays must not overlap.",
        "VERIFICATION",
    ]
    return "\n".join(f" * {line}".rstrip() for line in lines)
