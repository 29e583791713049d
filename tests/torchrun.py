"""A verb started with torchrun, as a user types it."""

import os
import subprocess
import sys


def start(*arguments: str, restarts: int = 0) -> "subprocess.Popen[str]":
    """Two processes of `shizuku ARGUMENTS`; other tests may run torchrun too, so it looks for a free port."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("GLOO_SOCKET_IFNAME", None)
    return subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
            "--max-restarts", str(restarts), "--rdzv-backend", "c10d",
            "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1",
            "-m", "shizuku", *arguments,
        ],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
