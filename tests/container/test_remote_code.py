"""A checkpoint that brings code of its own is served without it."""

import json
from pathlib import Path

from tests.conftest import make_tiny, running_server

_CODE = """
from pathlib import Path
Path({marker!r}).touch()
class Mine: pass
"""


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    folder = make_tiny("reason2", tmp_path / "models" / "reason2")
    marker = tmp_path / "ran"
    (folder / "mine.py").write_text(_CODE.format(marker=str(marker)))
    classes = ("AutoConfig", "AutoModel", "AutoProcessor", "AutoTokenizer", "AutoImageProcessor", "AutoVideoProcessor")
    named = [path for path in folder.glob("*config.json") if path.name != "generation_config.json"]
    assert len(named) > 2
    for path in named:
        content = json.loads(path.read_text()) | {"auto_map": dict.fromkeys(classes, "mine.Mine")}
        content["auto_map"]["AutoTokenizer"] = ["mine.Mine", "mine.Mine"]
        path.write_text(json.dumps(content))
    (work := tmp_path / "work").mkdir()
    with running_server(folder, work, COSMOS_GUARDRAILS="off") as server:
        server.wait_until_ready()
        answer = server.invoke({"prompt": "What is this?", "max_tokens": 2})
        assert answer.status_code == 200, answer.text
    assert not marker.exists()
