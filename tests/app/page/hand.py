"""The page used by mouse, by touch or by keyboard alone."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from tests.app.page.screen import Screen

if TYPE_CHECKING:
    from playwright.sync_api import Locator

WAYS = ("mouse", "touch", "keyboard")
MAX_TABS = 150
THUMB = 16  # CSS pixels, of Chromium's slider

KEYS = {
    **{"#as-caries": "1", "#as-normal": "2", "#delete-box": "Delete", "#undo": "z", "#confirm": "Enter"},
    **{"#rest-sound": "r", "#all-sound": "s", "#not-assessable": "x"},
}
"""The keys of the photo that do what these buttons do."""

NEXT_KEY = """element => {
    const now = document.activeElement;
    if (now === element) return null;
    return now.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_PRECEDING ? "Shift+Tab" : "Tab";
}"""

IS_OUT_OF_SIGHT = """(element, places) => {
    const { left, top, width, height } = element.getBoundingClientRect();
    const isSeen = (x, y) => element.contains(document.elementFromPoint(left + x * width, top + y * height));
    return !places.every(y => places.every(x => isSeen(x, y)));
}"""

COPY_PICTURE = """async data => {
    const bytes = Uint8Array.from(atob(data), character => character.charCodeAt(0));
    const picture = new Blob([bytes], { type: "image/png" });
    await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
}"""


class Hand:
    """One way to use the page: `mouse`, `touch` or `keyboard`.

    What a way lacks, another action does: a finger drops no file but takes a photo, and a keyboard, which does not drop
    one either, pastes it; it has no wheel and no pinch, but keys that zoom. The system's own windows open for no test:
    chosen files are handed over, and lists are chosen from by mouse and touch without their pop-up.

    Attributes:
        actions: clicks, taps, drags, scrolls and key presses so far.
    """

    def __init__(self, screen: Screen, way: str) -> None:
        self.screen = screen
        self.page = screen.page
        self.way = way
        self.actions = 0

    def press(self, selector: str, key: str = "Enter") -> None:
        """Use a button, a link or, with the key Space, a check box."""
        from playwright.sync_api import expect

        target = self.page.locator(selector).first
        expect(target).to_be_visible()
        expect(target).to_be_enabled()
        if self.way == "keyboard":
            self._reach(target)
            self._key(key)
            return
        self._bring(target)
        self.actions += 1
        if self.way == "mouse":
            target.click()
        else:
            target.tap()

    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        target = self.page.locator(selector)
        if self.way == "keyboard":
            self._reach(target)
        else:
            self.press(selector)
        self.actions += len(text)
        self.page.keyboard.type(text)

    def choose(self, selector: str, value: str) -> None:
        """Choose from a list."""
        target = self.page.locator(selector)
        if self.way != "keyboard":
            self._bring(target)
            self.actions += 2
            target.select_option(value)
            return
        values: list[str] = target.evaluate("list => [...list.options].map(option => option.value)")
        steps = values.index(value) - values.index(target.input_value())
        self._reach(target)
        self._key("Space")
        for _ in range(abs(steps)):
            self._key("ArrowDown" if steps > 0 else "ArrowUp")
        self._key("Enter")
        assert target.input_value() == value

    def slide(self, selector: str, value: float) -> None:
        """Move a slider from 0 to 1 to a value, by keyboard to the first step that reaches it."""
        target = self.page.locator(selector)
        now = float(target.input_value())
        if self.way == "keyboard":
            self._reach(target)
            while (float(target.input_value()) < value) == (now < value):
                self._key("ArrowRight" if now < value else "ArrowLeft")
            return
        self._bring(target)
        box = target.bounding_box()
        assert box is not None
        start, end = (box["x"] + THUMB / 2 + share * (box["width"] - THUMB) for share in (now, value))
        middle = box["y"] + box["height"] / 2
        self._drag((start, middle), (end, middle))

    def point_at(self, selector: str) -> None:
        """Bring the attention of the page to a row; a finger has to tap it."""
        target = self.page.locator(selector).first
        if self.way == "keyboard":
            self._reach(target)
        elif self.way == "touch":
            self.press(selector)
        else:
            self._bring(target)
            self.actions += 1
            target.hover()

    def add_photo(self, path: Path) -> None:
        """Add a photo by the button that chooses files."""
        with self.page.expect_file_chooser() as chooser:
            self.press("#choose")
        chooser.value.set_files(path)

    def add_photo_otherwise(self, path: Path) -> None:
        """Add a PNG by dropping it, with the camera of a touch screen, or by pasting it."""
        if self.way == "mouse":
            self._drop(path)
        elif self.way == "touch":
            with self.page.expect_file_chooser() as chooser:
                self.press("#camera")
            chooser.value.set_files(path)
        else:
            self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
            self.page.evaluate(COPY_PICTURE, base64.b64encode(path.read_bytes()).decode())
            self._key("Control+v")

    def enlarge(self, viewer: str) -> None:
        """Zoom into a photo, by wheel, pinch or key."""
        target = self.page.locator(viewer)
        if self.way == "keyboard":
            self._reach(target)
            self._key("+")
            return
        self._bring(target)
        self.actions += 1
        x, y = self.screen.middle(viewer)
        if self.way == "mouse":
            self.page.mouse.move(x, y)
            self.page.mouse.wheel(0, -300)
        else:
            self.screen.touch(*(((x - apart, y), (x + apart, y)) for apart in range(20, 60, 5)))

    def save(self, selector: str) -> bytes:
        """The file that a button saves."""
        with self.page.expect_download() as info:
            self.press(selector)
        return info.value.path().read_bytes()

    def select_box(self, number: int) -> None:
        """Select a box that is not selected, from the first on."""
        if self.way != "keyboard":
            self._bring_photo()
            self._point(self.screen.middle_of_tooth(number))
            return
        self._reach(self.page.locator("#edit-viewer"))
        row = self.page.locator("#teeth button").nth(number - 1)
        for _ in range(self.page.locator("#teeth button").count()):
            self._key("n")
            if row.get_attribute("aria-pressed") == "true":
                return
        raise AssertionError(f"N does not select box {number}")

    def move_box(self) -> None:
        """Move the selected box to the right and down."""
        if self.way == "keyboard":
            self._keys_of_photo("ArrowRight", "ArrowDown")
        else:
            self._bring_photo()
            x, y = self.screen.middle(".frame")
            self._drag((x, y), (x + 12, y + 16))

    def resize_box(self) -> None:
        """Make the selected box wider and taller, by mouse and touch at its lower right corner."""
        if self.way == "keyboard":
            self._keys_of_photo("Shift+ArrowRight", "Shift+ArrowDown")
        else:
            self._bring_photo()
            x, y = self.screen.middle(".handle.se")
            self._drag((x, y), (x + 12, y + 16))

    def widen_box(self) -> None:
        """Change the width of the selected box, by as few actions as this way has."""
        if self.way == "keyboard":
            self._keys_of_photo("Shift+ArrowRight")
        else:
            self.resize_box()

    def add_box(self) -> None:
        """Draw a box below the others of the stand-in, by keyboard in the middle."""
        if self.way == "keyboard":
            self._keys_of_photo("a", "Enter")
            return
        self.press("#add-box")
        self._bring_photo()
        photo = self.page.locator("#edit-viewer .stage").bounding_box()
        assert photo is not None
        left, top, width, height = (photo[side] for side in ("x", "y", "width", "height"))
        self._drag((left + 0.4 * width, top + 0.7 * height), (left + 0.6 * width, top + 0.9 * height))

    def edit(self, button: str) -> None:
        """Do to the box or the photo what one of these buttons does, by keyboard with its key."""
        if self.way == "keyboard":
            self._keys_of_photo(KEYS[button])
        else:
            self.press(button)

    def _keys_of_photo(self, *keys: str) -> None:
        self._reach(self.page.locator("#edit-viewer"))
        for key in keys:
            self._key(key)

    def _key(self, key: str) -> None:
        self.actions += 1
        self.page.keyboard.press(key)

    def _point(self, place: tuple[float, float]) -> None:
        self.actions += 1
        if self.way == "mouse":
            self.page.mouse.click(*place)
        else:
            self.page.touchscreen.tap(*place)

    def _drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.actions += 1
        if self.way == "mouse":
            self.screen.drag(start, end)
        else:
            between = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
            self.screen.touch(start, between, end)

    def _drop(self, path: Path) -> None:
        """Drag a file from the desktop into the window."""
        self.actions += 1
        session = self.page.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            session.send("Input.dispatchDragEvent", {"type": kind, "x": 100, "y": 100, "data": data})

    def _bring(self, target: Locator, *places: float) -> None:
        """Scroll to an element that is out of sight or covered, in its middle or at these shares of its sides."""
        if target.evaluate(IS_OUT_OF_SIGHT, places or [0.5]):
            self.actions += 1
            target.evaluate("element => element.scrollIntoView({ block: 'center' })")

    def _bring_photo(self) -> None:
        """Scroll to the photo that is corrected unless all of it is in sight."""
        self._bring(self.page.locator("#edit-viewer"), 0.02, 0.5, 0.98)

    def _reach(self, target: Locator) -> None:
        """By Tab, or Shift and Tab, alone."""
        for _ in range(MAX_TABS):
            key = target.evaluate(NEXT_KEY)
            if key is None:
                return
            self._key(key)
        raise AssertionError(f"Tab does not reach {target}")
