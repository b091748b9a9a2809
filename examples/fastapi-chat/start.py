"""Starts the relay, the simulator of vLLM (unless VLLM_URL names a server) and the chat API. Ctrl-C ends them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import uvicorn

ROOT = Path(__file__).parents[2]
NODE = ROOT / "node_modules" / ".bin" / "node"


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """One of the workspace's programs, once it has said its URL."""
    process = subprocess.Popen([NODE, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{arguments[-1]} did not start")
    return process, str(json.loads(line)["url"])


def main() -> None:
    processes = []
    try:
        relay, relay_url = start(
            "--conditions=offpath-source",
            "packages/relay/bin/offpath.js",
            "up",
            "--json",
            "--log-level",
            "warn",
        )
        processes.append(relay)
        if "VLLM_URL" not in os.environ:
            simulator, os.environ["VLLM_URL"] = start("examples/vllm-simulator/main.ts", "--port", "0")
            processes.append(simulator)
        port = int(os.environ.get("PORT", "3000"))
        print(
            f"relay     {relay_url}\nmodel     {os.environ['VLLM_URL']}\nchat API  http://127.0.0.1:{port}",
            flush=True,
        )
        from app import app

        uvicorn.run(app, port=port, log_level="warning")
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


if __name__ == "__main__":
    main()
