"""Run a port-forward, ask the forwarded port for its page once, say what it answered, and end the forward."""

import re
import subprocess
import sys
import urllib.request

with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True) as forward:
    try:
        assert forward.stdout is not None
        line = forward.stdout.readline()
        found = re.match(r"Forwarding from (127\.0\.0\.1:\d+)", line)
        if found is None:
            sys.exit(f"it said {line!r}")
        with urllib.request.urlopen(f"http://{found[1]}/", timeout=20) as answer:
            print(answer.status, "html" in answer.read().decode().lower())
    finally:
        forward.terminate()
