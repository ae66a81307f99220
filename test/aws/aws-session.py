"""Runs commands of the AWS command line in one process: loading `aws` and its models is most of what a command costs.

Reads one JSON list of words a line; answers one line of JSON with `code`, `stdout` and `stderr`.
"""

import contextlib
import functools
import io
import json
import sys

from awscli.clidriver import create_clidriver

try:
    from awscli.botocore import loaders  # The second version has its own.
except ImportError:
    from botocore import loaders

# A driver is for one command: it keeps what the command's words were. The models are for all.
load = functools.cache(loaders.JSONFileLoader().load_file)
loaders.JSONFileLoader.load_file = lambda _, path: load(path)

replies = sys.stdout
for line in sys.stdin:
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = create_clidriver().main(json.loads(line))
        except SystemExit as end:
            code = end.code
    out.flush()
    print(json.dumps({"code": code, "stdout": out.buffer.getvalue().decode(), "stderr": err.getvalue()}), file=replies, flush=True)
