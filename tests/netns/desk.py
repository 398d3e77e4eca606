"""Run in a network namespace by test_scale.py: a client that makes calls as each line of standard input says, and prints their statuses."""

import json
import ssl
import sys
from base64 import b64encode
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPSConnection
from typing import Any

AT_ONCE = 20


def call(context: ssl.SSLContext, proxy: str, key: str, text: str) -> int:
    """The status of a call; that of the proxy where it lets nobody in, 0 where nobody answers. Without a text: of the tunnel alone."""
    host, _, port = proxy.partition(":")
    connection = HTTPSConnection(host, int(port), context=context, timeout=20)
    token = b64encode(f"any:{key}".encode()).decode()
    connection.set_tunnel("api.openai.com", 443, {"Proxy-Authorization": f"Basic {token}"})  # fmt: skip
    body = json.dumps({"model": "gpt-5.2", "messages": [{"role": "user", "content": text}]})  # fmt: skip
    try:
        if not text:
            connection.connect()
            return 200
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})  # fmt: skip
        answer = connection.getresponse()
        answer.read()
    except OSError as error:
        words = str(error).split()  # Tunnel connection failed: 407 …
        return int(words[3]) if words[:1] == ["Tunnel"] else 0
    else:
        return answer.status
    finally:
        connection.close()


def main(roots: str) -> None:
    """For each line {"proxies", "key", "count", "text"} one with the count of each status."""
    context = ssl.create_default_context(cafile=roots)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for line in sys.stdin:
            told: dict[str, Any] = json.loads(line)
            proxies = told["proxies"]
            made = [
                pool.submit(call, context, proxies[number % len(proxies)], told["key"], told["text"])
                for number in range(told["count"])
            ]  # fmt: skip
            print(json.dumps(Counter(one.result() for one in made)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
