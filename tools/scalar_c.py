# SPDX-License-Identifier: BSD-3-Clause
"""Prints mlpcore/export_c_math.py: the vector math of src_c/kernels as scalar C99.

    python tools/scalar_c.py > mlpcore/export_c_math.py && ruff format mlpcore/export_c_math.py

`to_c` writes these functions into its headers. They are taken from the templates, so that they do
the same operations in the same order, and are printed rather than read at run time, because the
templates are not installed. A test prints them again and compares.
"""

import re
from pathlib import Path

KERNELS = Path(__file__).parents[1] / "src_c" / "kernels"
SOURCES = (
    "math_coefficients.h",
    "simd_math_template.h",
    "activation_math_template.h",
    "loss_terms_template.h",
)
ACTIVATIONS = ("exp", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid")
LOSSES = ("mse", "l1", "huber", "log_cosh", "quantile", "bce", "bce_with_logits", "cross_entropy")
WANTED = (*ACTIVATIONS, *(f"{loss}_term" for loss in (*LOSSES, "poisson")), "log1p")

OPERATORS = {"v_add": "+", "v_sub": "-", "v_mul": "*", "v_div": "/", "v_lt": "<", "v_eq": "=="}
CALLS = {
    "v_fma": "FMA",
    "v_fnma": "FNMA",
    "v_max": "max",
    "v_min": "min",
    "v_abs": "abs",
    "v_copysign": "copysign",
    "v_round": "round",
    "v_pow2": "pow2",
    "v_ldexp": "ldexp",
    "v_exponent": "exponent",
    "v_mantissa": "mantissa",
}
# What the templates take from a header of C, or write as an expression.
MACROS = {
    "MLP_C(INFINITY)": "NAME_infinity()",
    "MLP_C(NAN)": "MLP_C(0) * NAME_infinity()",
    "FLT_MIN, DBL_MIN": "0x1p-126f, 0x1p-1022",
    "(MLP_EPSILON / 2)": "MLP_PICK(0x1p-24f, 0x1p-53)",
    "MLP_LOG_FLOOR (-100)": "MLP_LOG_FLOOR MLP_PICK(-100.0f, -100.0)",
    "MLP_C(2 / MLP_LOG_SPLIT)": "MLP_C(1.3333333333333333)",
    "MLP_C(MLP_LOG_SPLIT)": "MLP_C(1.5)",
}


def arguments(text, start):
    """Arguments of the call whose parenthesis opens at `start`, and where it ends."""
    depth, begin, found = 0, start + 1, []
    for i in range(start, len(text)):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(text[i], 0)
        if depth == 0 or (depth == 1 and text[i] == ","):
            found.append(text[begin:i].strip())
            begin = i + 1
        if depth == 0:
            return found, i + 1
    raise ValueError(f"no end of {text[start : start + 40]!r}")


def bare(text):
    """The text without parentheses that enclose all of it."""
    if text.startswith("(") and arguments(text, 0)[1] == len(text):
        return text[1:-1]
    return text


def scalar(text):
    """The words of simd.h as operators and calls."""
    call = re.search(r"\b(v_\w+|MLP_REAL|MLP_C|MLP_POLYNOMIAL)\(", text)
    if call is None:
        return text
    word = call.group(1)
    found, end = arguments(text, call.end() - 1)
    a = [scalar(argument) for argument in found]
    if word in OPERATORS:
        new = f"({a[0]} {OPERATORS[word]} {a[1]})"
    elif word in CALLS:
        new = f"NAME_{CALLS[word]}({', '.join(bare(argument) for argument in a)})"
    elif word == "v_set1":
        new = f"C({a[0]})" if re.fullmatch(r"-?\d+", a[0]) else a[0]
    elif word == "v_zero":
        new = "C(0)"
    elif word == "v_neg":
        new = f"(-{a[0]})"
    elif word == "v_select":
        new = f"({a[0]} ? {a[1]} : {a[2]})"
    elif word == "MLP_C":
        new = f"C({a[0]})"
    elif word == "MLP_REAL":
        new = f"NAME_{a[0].removeprefix('vec_')}"
    elif word == "MLP_POLYNOMIAL":
        new = f"NAME_polynomial({a[0]}, NAME_{a[1]}, COUNT({a[1]}))"
    else:
        raise ValueError(f"no scalar form of {word}")
    return text[: call.start()] + new + scalar(text[end:])


def constants(text):
    """Of ``#define MLP_X MLP_PICK(single, twice)``: X to the two texts."""
    pattern = r"#define MLP_(\w+) +MLP_PICK\((-?[\w.+-]+?)f?, (-?[\w.+-]+)\)"
    return {name: (single, twice) for name, single, twice in re.findall(pattern, text)}


def tables(text):
    """Of ``static const float x_f32[n] = {...}``: x to the two lists of texts."""
    found = {}
    for name, bits, body in re.findall(
        r"static const \w+ (\w+)_f(32|64)\[\d+\] = \{(.*?)\};", text, re.DOTALL
    ):
        numbers = [number.strip().rstrip("f") for number in body.split(",") if number.strip()]
        found.setdefault(name, {})[bits] = " ".join(numbers)
    return {name: (both["32"], both["64"]) for name, both in found.items()}


def functions(text):
    """Each function that can be written in scalars, by its name."""
    piece = re.search(r"#define MLP_IN_ONE_PIECE\(name\)(.*?)\n\n", text, re.DOTALL)
    template = re.sub(r" *\\\n", "\n", piece.group(1)).replace("name##", "{name}")
    text = text.replace(piece.group(0), "")
    text = re.sub(
        r"^MLP_IN_ONE_PIECE\((\w+)\)$",
        lambda match: re.sub(
            r"(?m)^ {4}", "", template.replace("vec_##name", "vec_{name}")
        ).replace("{name}", match.group(1)),
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(r"^ */\*.*?\*/\n", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r" */\*.*?\*/", "", text, flags=re.DOTALL).replace("    MLP_UNROLL\n", "")
    found = {}
    pattern = r"MLP_INLINE (mlp_vec|void) MLP_REAL\((\w+)\)\(([^{]*?)\) \{\n(.*?)\n\}"
    for kind, name, parameters, body in re.findall(pattern, text, re.DOTALL):
        try:
            code = scalar(re.sub(r"\s+", " ", parameters)), scalar(body)
        except ValueError:
            continue  # WANTED tells whether it is missed
        lines = "".join(code[1]).split("\n")
        lines = [re.sub(r"(= |return )(\(.*\));$", unwrapped, line) for line in lines]
        short = name.removeprefix("vec_")
        whole = f"static inline {kind} NAME_{short}({code[0]}) {{\n" + "\n".join(lines) + "\n}\n"
        whole = re.sub(r"\bmlp_(vec|real) ?\* ?(?=\w)", r"mlp_\1 *", whole)
        whole = re.sub(r"\bmlp_mask\b", "int", re.sub(r"\bmlp_(vec|real)\b", "REAL", whole))
        found[short] = re.sub(r"\bMLP_([A-Z]\w*)", r"C(\1)", whole)
    return found


def unwrapped(match):
    return f"{match.group(1)}{bare(match.group(2))};"


def main():
    text = "".join((KERNELS / name).read_text(encoding="utf-8") for name in SOURCES)
    for macro, value in MACROS.items():
        if macro not in text:
            raise SystemExit(f"no longer in the templates: {macro}")
        text = text.replace(macro, value)
    found, numbers, polynomials = functions(text), constants(text), tables(text)
    needed, queue = set(), list(WANTED)
    while queue:
        name = queue.pop()
        if name in found and name not in needed:
            needed.add(name)
            queue += re.findall(r"\bNAME_(\w+)", found[name])
    missing = set(WANTED) - needed
    if missing:
        raise SystemExit(f"no longer found in the templates: {sorted(missing)}")
    kept = {name: code for name, code in found.items() if name in needed}
    used = "".join(kept.values())
    print("# SPDX-License-Identifier: BSD-3-Clause")
    print('"""Activations and losses in scalar C99: printed by tools/scalar_c.py; do not edit.')
    print()
    print("`export_c` replaces the words NAME, REAL, C(number) and COUNT(table).")
    print('"""')
    print("\n# Numbers for float32, for float64.\nCONSTANTS = {")
    for name, pair in numbers.items():
        if f"C({name})" in used:
            print(f"    {name!r}: {pair!r},")
    print("}\n\n# Polynomials for float32, for float64, lowest term first.\nTABLES = {")
    for name, pair in polynomials.items():
        if f"NAME_{name}," in used:
            print(f"    {name!r}: (")
            for part in pair:
                words = part.split()
                lines = [" ".join(words[i : i + 4]) for i in range(0, len(words), 4)]
                texts = [f'"{line} "' for line in lines[:-1]] + [f'"{lines[-1]}"']
                print("        " + "\n        ".join(texts) + ",")
            print("    ),")
    print("}\n\nFUNCTIONS = {")
    for name, code in kept.items():
        print(f'    {name!r}: """\n{code}""",')
    print("}")


if __name__ == "__main__":
    main()
