# How a Python client talks with its test: JSON lines, as clients/link.mjs does. See support/client.ts.
import json
import os
import sys
import threading

_writing = threading.Lock()


def report(kind, **fields):
    line = json.dumps({"kind": kind, **fields}) + "\n"
    with _writing:
        sys.stdout.write(line)
        sys.stdout.flush()


def text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else value


def describe_error(error):
    cause = error.__cause__
    message = str(error) if cause is None else "{}: {}".format(error, cause)
    return {"name": type(error).__name__, "message": message}


def serve(operations):
    """Answers each order {op, args, id} on a thread of its own; the first line, the job, has nothing to say here."""
    report("ready")

    def answer(order):
        try:
            value = operations[order["op"]](*order["args"])
            report("answer {}".format(order["id"]), value=value)
        except Exception as error:
            report("answer {}".format(order["id"]), error=describe_error(error))

    for line in sys.stdin:
        order = json.loads(line)
        if "op" in order:
            threading.Thread(target=answer, args=(order,), daemon=True).start()
    # The SDK keeps threads that would hold the process.
    os._exit(0)
