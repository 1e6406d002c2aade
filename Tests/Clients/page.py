"""Uses the page of a server in a browser as a person would, checks it for accessibility, and takes pictures of it.

    python page.py --program gemma4 [--screens FOLDER] [--chromium /usr/bin/chromium]

Needs requirements.txt and Debian's chromium. Answers are compared with what the program says without a server.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import tempfile

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

from clients import OTHER_SOUND, PICTURE, ROOT, SOUND, Server, run

NARROW, WIDE = {"width": 360, "height": 740}, {"width": 1280, "height": 900}


def check_accessibility(page: Page, state: str) -> None:
    results = Axe().run(page).response
    found = [f"{rule['id']}: {node['html']}: {node['failureSummary']}" for rule in results["violations"] for node in rule["nodes"]]
    assert not found, f"{state}: " + "\n".join(found)


def check_width(page: Page, state: str) -> None:
    """Nothing sticks out at the side."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{state}: {wide} pixels too wide"


class Look:
    """Looks at every state of the page: light and dark, wide and narrow."""

    def __init__(self, page: Page, folder: pathlib.Path):
        self.page, self.folder = page, folder

    def __call__(self, state: str) -> None:
        for scheme in ["light", "dark"]:
            for name, size in [("narrow", NARROW), ("wide", WIDE)]:
                self.page.emulate_media(color_scheme=scheme)
                self.page.set_viewport_size(size)
                what = f"{state}-{scheme}-{name}"
                check_accessibility(self.page, what)
                check_width(self.page, what)
                self.page.screenshot(path=self.folder / f"{what}.png", full_page=True)


def saved(page: Page, name: str) -> str:
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).click()
    return pathlib.Path(download.value.path()).read_text()


def speech(page: Page, program: str, model: str, look: Look) -> None:
    page.set_input_files("#sound", SOUND)
    text = run(program, model, "transcribe", str(SOUND)).strip().split(": ", 1)[-1]
    expect(page.locator("#segments li span").first).to_have_text(text)
    expect(page.locator("#downloads")).to_be_visible()
    for name in ["srt", "vtt"]:
        assert saved(page, name) == run(program, model, "transcribe", "--format", name, str(SOUND)), name
    assert saved(page, "txt") == text + "\n"
    start = page.locator("#segments button").first
    assert start.get_attribute("aria-label").startswith("Play from 00:00:")
    start.click()
    page.wait_for_function("document.querySelector('#player').currentTime > 0")
    look("transcript")
    # What the microphone of this browser hears is a file.
    page.get_by_role("button", name="Record", exact=True).click()
    recording = page.get_by_role("button", name="Stop recording")
    expect(recording).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(3000)
    recording.click()
    expect(page.locator("#segments li span, #segments li:not(:has(*))").first).to_be_visible()
    expect(page.locator("#segments .error")).to_have_count(0)
    page.set_input_files("#sound", {"name": "no.wav", "mimeType": "audio/wav", "buffer": b"no sound"})
    expect(page.locator("#segments [role=alert]")).to_contain_text("no.wav")
    look("refused")


def picture(page: Page, program: str, model: str, look: Look) -> None:
    caption = run(program, model, "caption", str(PICTURE)).strip().split(": ", 1)[-1]
    page.set_input_files("#picture", PICTURE)
    expect(page.locator("#caption")).to_have_text(caption)
    page.get_by_label("Detail").press("ArrowRight")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#caption")).not_to_be_empty()
    expect(page.locator("#caption .error")).to_have_count(0)
    seen(page, program, model, 70)
    look("picture")


def seen(page: Page, program: str, model: str, budget: int) -> None:
    """The page shows the picture at the size, and with the grid, of which the program speaks without a server."""
    answer = run(program, model, "caption", "--explain", "--format", "json", "--image-tokens", str(budget), str(PICTURE))
    explained = json.loads(answer)["explain"]
    page.locator("#seen summary").click()
    expect(page.locator("#grid")).to_be_visible()
    size = page.evaluate("[grid.width, grid.height]")
    assert size == [explained["seen_width"], explained["seen_height"]], (size, explained)
    expect(page.locator("#fit")).to_contain_text(f"{explained['image_tokens']} of at most {budget}")
    patch, pooled = map(int, re.search(r"patches of (\d+) pixels, (\d+) ×", page.locator("#fit").text_content()).groups())
    assert size[0] * size[1] == explained["image_tokens"] * (patch * pooled) ** 2
    # The lines between soft tokens are heavier than those within.
    row, line = patch * pooled // 2, patch * pooled
    at = "(x, y) => [...grid.getContext('2d').getImageData(x, y, 1, 1).data]"
    color = page.evaluate(f"({at})({line}, {row})")
    assert min(color[0], color[2]) >= 170 and color[1] <= 90, color
    heavy = page.evaluate(
        f"[...Array(grid.width).keys()].filter((x) => {{ const c = ({at})(x, 1); return c[0] >= 170 && c[1] <= 90 && c[2] >= 170; }})"
    )
    assert heavy == list(range(line, size[0], line)), (heavy, line, size)


def chat(page: Page, look: Look) -> None:
    words = page.get_by_label("Say something")
    words.fill("go")
    words.press("Enter")
    expect(page.locator(".turn.user")).to_have_text("go")
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_hidden(timeout=60_000)
    expect(page.locator(".turn").nth(1).locator(".error")).to_have_count(0)
    expect(words).to_be_focused()
    look("chat")


def keyboard(page: Page) -> None:
    """Every control is reached with the tabulator, in the order of the page."""
    page.locator("body").click(position={"x": 1, "y": 1})
    wanted = page.evaluate(
        "[...document.querySelectorAll('input, button, textarea, audio, summary')]"
        ".filter((e) => e.checkVisibility() && !e.disabled && e.localName !== 'audio').map((e) => e.id || e.textContent.trim())"
    )
    reached = []
    for _ in range(200):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "(() => { const e = document.activeElement; return e.localName === 'body' ? null : e.localName === 'audio' ? '' : e.id || e.textContent.trim(); })()"
        )
        if name is None:
            break
        if name and (not reached or reached[-1] != name):
            reached.append(name)
    assert reached == wanted, (reached, wanted)


def keyed(page: Page, program: str, model: str, look: Look) -> None:
    """A server with keys asks for one, and takes it."""
    with tempfile.NamedTemporaryFile("w") as keys:
        keys.write("secret\n")
        keys.flush()
        with serving(program, model, "--api-key-file", keys.name) as server:
            page.goto(server.url("/"))
            key = page.get_by_label("Key")
            expect(key).to_be_visible()
            look("key")
            key.fill("secret")
            key.press("Enter")
            expect(page.locator("#state")).to_contain_text("0 answers are written")


@contextlib.contextmanager
def serving(program: str, model: str, *arguments: str):
    server = Server(program, model, *arguments)
    try:
        yield server
    finally:
        server.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default=".build/release/gemma4")
    parser.add_argument("--model", default=str(ROOT / "Models/Demo"))
    parser.add_argument("--screens", default=tempfile.mkdtemp(prefix="gemma4-page-"))
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    program, screens = os.path.abspath(given.program), pathlib.Path(given.screens)
    screens.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    with serving(program, given.model) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=given.chromium,
            args=[
                "--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={OTHER_SOUND}",
            ],
        )
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: request.url.startswith(("http://127.0.0.1:", "blob:", "data:")) or wrong.append(request.url))
        page.goto(server.url("/"))
        expect(page.locator("#state")).to_contain_text("0 answers are written")
        look = Look(page, screens)
        look("empty")
        keyboard(page)
        speech(page, program, given.model, look)
        picture(page, program, given.model, look)
        chat(page, look)
        keyboard(page)
        # A status of 400 or 401 is told of by the browser too; nothing else may be.
        wrong[:] = [text for text in wrong if "status of 40" not in text]
        assert not wrong, wrong
        keyed(page, program, given.model, look)
        browser.close()
    print(f"the page does what it should; its pictures are in {screens}")


if __name__ == "__main__":
    main()
