"""Runs commands of the AWS command line. Each is a process of its own, forked from this one, which has loaded what
commands load: programs and models are most of what a command costs.

Reads a JSON object a line: `id`, `words` and `environment`. Answers one a line, in the order in which the commands end:
`id`, `code`, `stdout` and `stderr`.
"""

import gc
import importlib
import json
import os
import selectors
import sys
import tempfile
import traceback

import awscli
from awscli import clidriver

try:
    from awscli.botocore import loaders  # The second version has its own.
except ImportError:
    from botocore import loaders

models = {}
loaded_here = []
read_model = loaders.JSONFileLoader().load_file


def load_model(_, path):
    if path not in models:
        models[path] = read_model(path)
        if models[path] is not None:
            loaded_here.append(path)
    return models[path]


loaders.JSONFileLoader.load_file = load_model

listings = {}
listed_here = []


def remember(name):
    """Reads the directories of models once: each command does it several times, which is half of what it costs."""
    read = getattr(loaders.Loader, name)

    def listing(self, *words, **named):
        key = (name, *words, *named.values())
        if key not in listings:
            listings[key] = read(self, *words, **named)
            listed_here.append([key, listings[key]])
        return list(listings[key])

    setattr(loaders.Loader, name, listing)


remember("list_available_services")
remember("list_api_versions")


def become_command(words, environment, out, err, report):
    """In the forked process: runs the command as `aws` does, tells what it had to load, and ends."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    importlib.reload(awscli)  # Being loaded, it adds the place of its models to the environment.
    sys.argv = ["aws", *words]
    modules = set(sys.modules)
    del loaded_here[:], listed_here[:]
    code = 1
    try:
        code = clidriver.main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    loaded = {"modules": [name for name in sys.modules if name not in modules], "models": loaded_here, "listings": listed_here}
    with os.fdopen(report, "w") as pipe:
        json.dump(loaded, pipe)
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def learn(loaded):
    """Loads what a command had to load, for those after it."""
    for name in loaded["modules"]:
        try:
            importlib.import_module(name)
        except Exception:
            pass  # Made by the command itself, or the part of a module.
    for path in loaded["models"]:
        load_model(None, path)
    for key, names in loaded["listings"]:
        listings[tuple(key)] = names
    gc.freeze()  # Else the collector of each forked process writes to all that is shared, which copies it.


class Command:
    def __init__(self, request):
        self.id = request["id"]
        self.out, self.err, self.report = tempfile.TemporaryFile(), tempfile.TemporaryFile(), b""
        self.pipe, theirs = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            become_command(request["words"], request["environment"], self.out, self.err, theirs)
        os.close(theirs)

    def end(self):
        os.close(self.pipe)
        _, status = os.waitpid(self.process, 0)
        reply = {"id": self.id, "code": os.waitstatus_to_exitcode(status)}
        for name, file in (("stdout", self.out), ("stderr", self.err)):
            file.seek(0)
            reply[name] = file.read().decode(errors="replace")
            file.close()
        print(json.dumps(reply), flush=True)
        if self.report:
            learn(json.loads(self.report))


gc.freeze()
waiting = selectors.DefaultSelector()
waiting.register(0, selectors.EVENT_READ)
rest = b""
while True:
    for key, _ in waiting.select():
        piece = os.read(key.fd, 65536)
        if key.data is not None:
            key.data.report += piece
            if piece == b"":
                waiting.unregister(key.fd)
                key.data.end()
            continue
        if piece == b"":
            os._exit(0)
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            command = Command(json.loads(line))
            waiting.register(command.pipe, selectors.EVENT_READ, command)
