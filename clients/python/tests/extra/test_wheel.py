"""What is published, as a stranger meets it: the wheel, installed in an empty environment outside the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

CLIENT = Path(__file__).parents[2]
REPOSITORY = CLIENT.parents[1]
PIP = ("-m", "pip", "-qq", "--disable-pip-version-check")
VARIABLES = ("PYTHONPATH", "OFFPATH_", "LANGFUSE_", "OTEL_")


class Wheel(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.dir = Path(tempfile.mkdtemp(prefix="offpath-wheel-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(VARIABLES)}
        cls.env = {
            **kept,
            "HOME": str(cls.dir),
            "OFFPATH_SPOOL_DIR": str(cls.dir / "spool"),
            "OFFPATH_SPOOL_DISK_DIR": str(cls.dir / "disk"),
            "OFFPATH_STORE_DIR": str(cls.dir / "store"),
            "OFFPATH_HTTP_PORT": "0",
        }
        # The machine's own settings of pip name its registry: HOME is ours only afterwards.
        wheels = cls.dir / "wheels"
        build = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(CLIENT)]
        subprocess.run([sys.executable, *build], check=True)
        (cls.wheel,) = wheels.glob("offpath-*.whl")
        subprocess.run([sys.executable, "-m", "venv", str(cls.dir / "venv")], check=True)
        cls.bin = cls.dir / "venv" / ("Scripts" if os.name == "nt" else "bin")
        cls.install(str(cls.wheel))
        cls.without_extra = [cls.run_offpath("up"), cls.run_python("import offpath; offpath.start_relay()")]
        cls.install(f"{cls.wheel}[relay]", "-c", str(CLIENT / "requirements-dev.txt"))

    @classmethod
    def install(cls, *what: str) -> None:
        subprocess.run([str(cls.bin / "python"), *PIP, "install", *what], check=True)

    @classmethod
    def run_offpath(cls, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(cls.bin / "offpath"), *words], env=cls.env, cwd=cls.dir, capture_output=True, text=True
        )

    @classmethod
    def run_python(cls, code: str) -> subprocess.CompletedProcess[str]:
        file = cls.dir / "first.py"
        file.write_text(code)
        return subprocess.run(
            [str(cls.bin / "python"), str(file)], env=cls.env, cwd=cls.dir, capture_output=True, text=True
        )

    def test_it_brings_the_relay_and_the_licences_of_what_is_in_it(self) -> None:
        (folder,) = self.dir.glob("venv/lib/**/offpath/_relay")
        licences = (folder / "offpath.js.licences.txt").read_text()
        for name in ("hono", "undici", "prom-client", "yaml"):
            self.assertIn(f"── {name} ", licences)
        self.assertTrue((folder.parent / "py.typed").exists())

    def test_without_the_extra_one_line_says_how_to_get_it(self) -> None:
        told = 'the relay needs Node, which is not installed: run `pip install "offpath[relay]"`'
        command, start = self.without_extra
        self.assertEqual((command.returncode, command.stdout, command.stderr), (1, "", f"offpath: {told}\n"))
        self.assertTrue(start.stderr.endswith(f"offpath._node.RelayError: {told}\n"), start.stderr)

    def test_the_command_is_the_relays(self) -> None:
        told = self.run_offpath("--help")
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        self.assertIn("\n  up ", told.stdout)
        wrong = self.run_offpath("lss", "--json")
        self.assertEqual((wrong.returncode, wrong.stdout), (2, ""))
        self.assertIn('unknown command "lss" (did you mean ls?)', wrong.stderr)
        (version,) = re.findall(r'^version = "(.+)"', (CLIENT / "pyproject.toml").read_text(), re.M)
        self.assertEqual(self.run_offpath("--version").stdout, f"{version}\n")

    def test_the_lines_of_the_readmes_record_what_the_relay_shows(self) -> None:
        command = [str(self.bin / "offpath"), "up", "--json"]
        relay = subprocess.Popen(
            command, env=self.env, cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(relay.kill)
        assert relay.stdout is not None and relay.stderr is not None
        # The pid is that of the command: signals reach the relay itself.
        self.assertEqual(json.loads(relay.stdout.readline())["pid"], relay.pid)
        for readme in (REPOSITORY / "README.md", CLIENT / "README.md"):
            block = re.search(
                r"<!-- tested: [^\n]*test_wheel[^\n]*\n```python\n(.*?)```", readme.read_text(), re.S
            )
            assert block is not None, readme
            ended = self.run_python(block[1])
            self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        deadline = time.monotonic() + 20
        while self.run_offpath("ls").stdout.count("answer") < 2:
            self.assertLess(time.monotonic(), deadline, self.run_offpath("ls"))
        relay.terminate()
        _, errors = relay.communicate(timeout=20)
        self.assertEqual(relay.returncode, 0)
        self.assertTrue(errors.endswith(" stopped\n"), errors)
