"""Checkpoints are data: what would run code out of one is nowhere in the package."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cosmos_handler"

# Modules whose files are programs. Of pickle, classes may be built on its reader, which is told below what it may find.
_PROGRAMS = ("cloudpickle", "dill", "joblib", "marshal", "shelve", "torch.jit", "torch.package", "torch.hub", "yaml")
_CALLS = ("eval", "exec", "compile", "__import__")
_UNPICKLER = "pickle.Unpickler"


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def is_constant(keyword: ast.keyword, value: object) -> bool:
    return isinstance(keyword.value, ast.Constant) and keyword.value.value is value


def faults(tree: ast.Module) -> Iterator[str]:
    """What in a module would open a file as a program, each with its line."""
    for node in ast.walk(tree):
        line = f"line {getattr(node, 'lineno', 0)}:"
        if isinstance(node, ast.Import | ast.ImportFrom):
            origin = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            names = [f"{origin}.{alias.name}".lstrip(".") for alias in node.names]
            yield from (f"{line} {name}" for name in names if name.startswith((*_PROGRAMS, "pickle.")))
            # An alias would hide every call from this test.
            yield from (
                f"{line} {each.asname}" for each in node.names if each.asname and each.name in ("torch", "pickle")
            )
            if origin == "torch":
                yield from (f"{line} {name}" for name in names if name == "torch.load")
        if isinstance(node, ast.Attribute) and dotted(node).startswith(("torch.jit", "torch.package", "torch.hub")):
            yield f"{line} {dotted(node)}"
        if isinstance(node, ast.Call):
            yield from (f"{line} {problem}" for problem in call_faults(node))


def call_faults(call: ast.Call) -> Iterator[str]:
    name = dotted(call.func)
    keywords = {keyword.arg: keyword for keyword in call.keywords}
    if name.startswith("pickle.") or name in _CALLS:
        yield name
    if name == "torch.load" and not ("weights_only" in keywords and is_constant(keywords["weights_only"], True)):
        yield "torch.load without weights_only=True"
    if "trust_remote_code" in keywords and not is_constant(keywords["trust_remote_code"], False):
        yield "trust_remote_code"
    # Left open, these classes ask on the terminal whether they may run the checkpoint's own code.
    if name.startswith("Auto") and name.endswith(".from_pretrained") and "trust_remote_code" not in keywords:
        yield f"{name} without trust_remote_code=False"
    if "allow_pickle" in keywords and not is_constant(keywords["allow_pickle"], False):
        yield "allow_pickle"


def test_nothing_in_the_package_opens_a_file_as_a_program() -> None:
    found = [f"{path.relative_to(ROOT)} {fault}" for path, tree in trees() for fault in faults(tree)]
    assert not found


def test_readers_of_pickles_find_nothing_but_what_they_are_told() -> None:
    readers = [
        (path.name, node)
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and _UNPICKLER in [dotted(base) for base in node.bases]
    ]
    assert [name for name, _ in readers] == ["torch_file.py"]
    methods = {item.name: item for item in readers[0][1].body if isinstance(item, ast.FunctionDef)}
    assert {"find_class", "persistent_load"} <= methods.keys()
    # Its own lookup never ends in the one it overrides, which imports whatever a file names.
    assert "super()" not in ast.unparse(methods["find_class"])


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import torch\ntorch.load(path, weights_only=flag)",
        "import torch as t",
        "from torch import load",
        "import torch\ntorch.jit.load(path)",
        "from torch.jit import load",
        "import torch.jit",
        "import pickle\npickle.loads(data)",
        "import pickle\npickle.Unpickler(file)",
        "from pickle import load",
        "import pickle as p",
        "import joblib",
        "import marshal",
        "AutoTokenizer.from_pretrained(folder)",
        "AutoModel.from_pretrained(folder, trust_remote_code=True)",
        "load(x, trust_remote_code=yes)",
        "np.load(path, allow_pickle=True)",
        "eval(text)",
    ],
)
def test_the_search_finds_what_it_is_for(code: str) -> None:
    assert list(faults(ast.parse(code)))


def test_a_torchscript_file_is_never_opened(tiny_native: Path, tmp_path: Path) -> None:
    """Finding the models of a folder opens many files, and none of these."""
    model = tmp_path / "model"
    subprocess.run(["cp", "-rL", str(tiny_native), str(model)], check=True)  # noqa: S607
    for name in ("encoder.jit", "decoder.jit", "autoencoder.jit", "tokenizer/encoder.jit", "vae/decoder.jit"):
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(b"PK\x03\x04 a program")
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "autoencoder.jit").write_bytes(b"PK\x03\x04 a program")
    code = (
        "import sys; from pathlib import Path; opened = []; "
        "sys.addaudithook(lambda event, about: opened.append(str(about[0])) if event == 'open' else None)\n"
        "from cosmos_handler.artifacts.discover import discover\n"
        "from cosmos_handler.errors import CheckpointError\n"
        "for folder in sys.argv[1:]:\n"
        "    try:\n"
        "        print(len(discover(Path(folder))))\n"
        "    except CheckpointError as error:\n"
        "        print('refused', 'jit' in str(error))\n"
        "print([name for name in opened if name.endswith('.jit')], any(name.endswith('.pt') for name in opened))"
    )
    command = [sys.executable, "-c", code, str(model), str(alone)]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown == ["1", "refused True", "[] True"]
