"""Run a proxy, ask it for the API's groups and for a service behind the API, say what they answered, and end it."""

import json
import re
import subprocess
import sys
import urllib.request

with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True) as proxy:
    try:
        assert proxy.stdout is not None
        line = proxy.stdout.readline()
        found = re.match(r"Starting to serve on (127\.0\.0\.1:\d+)", line)
        if found is None:
            sys.exit(f"it said {line!r}")
        with urllib.request.urlopen(f"http://{found[1]}/apis", timeout=20) as answer:
            print(answer.status, json.load(answer)["kind"])
        with urllib.request.urlopen(f"http://{found[1]}/healthz", timeout=20) as answer:
            print(answer.status, answer.read().decode())
    finally:
        proxy.terminate()
