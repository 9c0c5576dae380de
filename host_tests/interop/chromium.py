"""Headless Chromium as a client: it loads a page twice, and says what the page said."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
from collections.abc import Iterator
from pathlib import Path

from interop.process import TIMEOUT, Process
from interop.wire import TLS13

# As root, without network, and without whatever else it does by itself.
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--no-proxy-server",
    "--disable-dev-shm-usage",
    "--metrics-recording-only",
    "--ignore-certificate-errors",
    "--remote-debugging-pipe",
]


class Browser:
    """One tab, driven through the pipes that --remote-debugging-pipe takes as descriptors 3 and 4."""

    def __init__(self, folder: Path, *options: str) -> None:
        take, self._commands = os.pipe()
        self._answers, give = os.pipe()
        for descriptor in (take, give):
            os.set_inheritable(descriptor, True)
        # A shell puts the descriptors into their places.
        shell = ["bash", "-c", f'exec "$@" 3<&{take} 4>&{give}', "-", _program(), *OPTIONS, *options]
        command = [*shell, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self._process = Process(command, folder, log="chromium-log", descriptors=(take, give))
        os.close(take)
        os.close(give)
        self._buffer = b""
        self._number = 0
        self._session = ""

    def close(self) -> None:
        self._process.close()
        os.close(self._commands)
        os.close(self._answers)

    def call(self, method: str, **parameters: object) -> dict[str, object]:
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "result" in answer, answer
                return dict(answer["result"])  # type: ignore[call-overload]

    def open_tab(self) -> None:
        tab = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = str(self.call("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"])
        self.call("Page.enable")

    def load(self, url: str) -> str:
        """The text of a page."""
        result = self.call("Page.navigate", url=url)
        assert "errorText" not in result, result
        while self._read().get("method") != "Page.loadEventFired":
            pass
        shown = self.call("Runtime.evaluate", expression="document.body.innerText")["result"]
        return str(shown["value"])  # type: ignore[index]

    def _read(self) -> dict[str, object]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], TIMEOUT)
            data = os.read(self._answers, 65536) if ready else b""
            assert data, self._process.log
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))


def _program() -> str:
    # Debian's /usr/bin/chromium is a script that looks at the desktop first.
    return "/usr/lib/chromium/chromium" if Path("/usr/lib/chromium/chromium").exists() else "chromium"


@contextlib.contextmanager
def browser(folder: Path, *options: str) -> Iterator[Browser]:
    chromium = Browser(folder, *options)
    try:
        chromium.open_tab()
        yield chromium
    finally:
        chromium.close()


def chromium(port: int, way: str, folder: Path) -> list[bool]:
    """Loads the status page twice: whether handshakes were resumed by then, as the page says."""
    options = ["--ssl-version-min=tls1.3"] if way == TLS13 else ["--ssl-version-max=tls1.2"]
    with browser(folder, *options) as tab:
        texts = [tab.load(f"https://127.0.0.1:{port}/?{i}") for i in range(2)]
    found = [re.search(r"(\d+) resumed", text) for text in texts]
    assert all(found), texts
    return [int(match[1]) > 0 for match in found if match]
