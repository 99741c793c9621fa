"""Job folders belong to a server; those of a dead one are swept."""

import subprocess
import sys
from pathlib import Path

from cosmos_handler.engine.work_dir import Claim, sweep

SPOOL = "spool-{}-x_y1"
JOB = "job-20261121T120000-0123456789ab-{}-x_y1"
HOLD = "import sys, time; from pathlib import Path; from cosmos_handler.engine.work_dir import Claim\n"
HOLD += "claim = Claim(Path(sys.argv[1])); print(claim.owner, flush=True); time.sleep(600)"


def test_what_a_killed_server_left_is_swept_and_a_living_one_s_stays(tmp_path: Path) -> None:
    ours = Claim(tmp_path)
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    theirs = other.stdout.readline().strip()
    kept, left, unmarked = (tmp_path / JOB.format(owner) for owner in (ours.owner, theirs, "deadbeef"))
    ours_spooled, theirs_spooled = (tmp_path / SPOOL.format(owner) for owner in (ours.owner, theirs))
    foreign = tmp_path / "job-of-somebody-else"
    link = tmp_path / JOB.format("deadbee0")
    link.symlink_to(foreign)
    for folder in (kept, left, unmarked, foreign, ours_spooled, theirs_spooled):
        folder.mkdir()
        (folder / "input-0.npy").write_bytes(b"x")
    sweep(tmp_path)
    assert [folder.exists() for folder in (kept, left, unmarked, foreign)] == [True, True, False, True]
    assert ours_spooled.exists()
    assert theirs_spooled.exists()
    other.kill()
    other.communicate()
    sweep(tmp_path)
    assert [folder.exists() for folder in (kept, left, foreign)] == [True, False, True]
    assert ours_spooled.exists()
    assert not theirs_spooled.exists()
    assert (foreign / "input-0.npy").exists()
    assert [path.name for path in tmp_path.glob("*.lock")] == [f"cosmos-serve-{ours.owner}.lock"]
    ours.release()
    assert not list(tmp_path.glob("cosmos-serve-*"))
