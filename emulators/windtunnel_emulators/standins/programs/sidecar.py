"""Asks the web server of its container group for its headers, every 3 seconds, and prints them."""

from __future__ import annotations

import http.client
import os
import time


def main() -> None:
    address = os.environ.get("WINDTUNNEL_ADDRESS", "127.0.0.1")
    while True:
        print(f"Every 3s: HEAD http://localhost    {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}", flush=True)
        connection = http.client.HTTPConnection(address, 80, timeout=3)
        try:
            connection.request("HEAD", "/")
            answer = connection.getresponse()
            print(f"HTTP/1.1 {answer.status} {answer.reason}")
            for name, value in answer.getheaders():
                print(f"{name}: {value}")
        except OSError as problem:
            print(f"no answer from localhost port 80: {problem}")
        finally:
            connection.close()
        print(flush=True)
        time.sleep(3)


if __name__ == "__main__":
    main()
