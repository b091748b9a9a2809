from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import offpath


class RelayCommand(unittest.TestCase):
    def test_without_the_built_relay_one_line_says_how_to_get_it(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            package = Path(offpath.__file__).parent
            leave_out = shutil.ignore_patterns("_relay", "__pycache__")
            shutil.copytree(package, Path(folder) / "offpath", ignore=leave_out)
            code = "import sys; from offpath._cli import main; sys.exit(main())"
            ended = subprocess.run(
                [sys.executable, "-c", code, "up"],
                env={**os.environ, "PYTHONPATH": folder},
                capture_output=True,
                text=True,
            )
        told = "this offpath was built without its relay: run `npm run build` in the repository, then install it anew"
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (1, "", f"offpath: {told}\n"))
