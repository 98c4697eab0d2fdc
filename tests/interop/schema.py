"""The message classes of syncline.proto, generated anew by protoc at every start.

Nothing generated is kept in the repository: the schema is the one source.
"""

import atexit
import importlib
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PROTO_DIR = os.path.normpath(os.path.join(HERE, "..", "..", "proto"))


def _generate():
    target = tempfile.mkdtemp(prefix="syncline-interop-")
    atexit.register(shutil.rmtree, target, ignore_errors=True)
    subprocess.run(
        ["protoc", "-I", PROTO_DIR, "--python_out", target, "syncline.proto"], check=True)
    sys.path.insert(0, target)
    return importlib.import_module("syncline_pb2")


pb = _generate()


class Malformed(Exception):
    """What CODE_MALFORMED names: the bytes or their meaning break a rule of the protocol."""


class Unsupported(Exception):
    """Framed in version 1, but not applied (PROTOCOL.md 3.2)."""
