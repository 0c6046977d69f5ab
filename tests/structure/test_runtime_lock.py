"""What the image has, requirements/runtime.txt, is enough to run: a package that only development brings along is not missed here alone."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import importlib.metadata, re, sys

locked = set(sys.argv[1].split(","))
owners = importlib.metadata.packages_distributions()


class OnlyLocked:
    def find_spec(self, name, path=None, target=None):
        own = owners.get(name.partition(".")[0], [])
        if own and not any(re.sub(r"[-_.]+", "-", each).lower() in locked for each in own):
            raise ModuleNotFoundError(f"{name} is of {own}, which is not in requirements/runtime.txt", name=name)


sys.meta_path.insert(0, OnlyLocked())
import admin_cli.main, gateway.embedded.up, gateway.server.worker
import gateway.storage.postgres.migrate
from sqlalchemy.ext.asyncio import create_async_engine

create_async_engine("postgresql+asyncpg://")
"""


def test_every_program_starts_with_the_runtime_lock_alone() -> None:
    lock = (ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    names = {"promptgate", *re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE)}
    assert len(names) > 20
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, ",".join(names)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
