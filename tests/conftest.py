"""What holds for every test, and for the processes that tests start: TensorFlow on the CPU, no proxy for loopback."""

from __future__ import annotations

import os

# Tests compare bits, and two test processes would each take a GPU's whole memory.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("no_grpc_proxy", "localhost,127.0.0.1,::1")  # Beam's workers talk to each other over loopback
os.environ["COLUMNS"] = "120"  # argparse wraps help texts to the terminal
