"""Firefox, without a driver: it is spoken to by WebDriver BiDi (https://www.w3.org/TR/webdriver-bidi), which it understands itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)


class Firefox:
    """A headless Firefox with one page. `profile` is an empty folder."""

    def __init__(self, profile: Path) -> None:
        import websocket

        assert FIREFOX is not None
        flags = ["--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"]
        environment = {"HOME": str(profile), "PATH": "/usr/bin:/bin", "MOZ_DISABLE_CONTENT_SANDBOX": "1"}
        self.process = subprocess.Popen(
            [FIREFOX, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stderr is not None
        found = next(filter(None, (re.search(r"ws://\S+", line) for line in self.process.stderr)))
        self.socket = websocket.create_connection(f"{found[0]}/session", timeout=300, suppress_origin=True)
        self.number = 0
        self.ask("session.new", capabilities={})
        self.page = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def ask(self, method: str, **params: Any) -> dict:
        """Send a command, and wait for what comes back; raises RuntimeError where that is an error."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while (told := json.loads(self.socket.recv())).get("id") != self.number:
            pass
        if told["type"] == "error":
            raise RuntimeError(f"{told['error']}: {told['message']}")
        return told["result"]

    def open(self, address: str) -> None:
        self.ask("browsingContext.navigate", context=self.page, url=address, wait="complete")

    def run(self, script: str) -> Any:
        """What a script in the page gives, through JSON."""
        target = {"context": self.page}
        asked = f"(async () => JSON.stringify((await ({script})) ?? null))()"
        told = self.ask("script.evaluate", expression=asked, target=target, awaitPromise=True)
        if told["type"] == "exception":
            raise RuntimeError(told["exceptionDetails"]["text"])
        return json.loads(told["result"]["value"])

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(30)
