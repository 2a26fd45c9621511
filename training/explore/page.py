"""A self-contained HTML page: style and pictures are inlined, all text is escaped, there is no script."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

_STYLE = """
:root { color-scheme: light }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem; color: #1c2430 }
h1 { margin: .5rem 0 0 } h1, h2 { line-height: 1.2 }
h2 { margin: 3rem 0 .5rem; padding-bottom: .3rem; border-bottom: 2px solid #d8dee6 }
p { max-width: 46rem } nav { margin: 1rem 0 } nav a { margin-right: 1rem }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .7rem; margin: 1.5rem 0 }
dl div { background: #f2f5f8; border-radius: .5rem; padding: .7rem .9rem }
dt { font-size: .85rem; color: #4a5768 } dd { margin: 0; font-size: 1.35rem; font-weight: 600 }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1rem }
figure { margin: 1rem 0 } figcaption { font-size: .95rem; max-width: 46rem }
img { max-width: 100%; height: auto }
.scroll { overflow-x: auto } table { border-collapse: collapse; margin: 1rem 0 } caption { text-align: left }
td, th { border-bottom: 1px solid #d8dee6; padding: .3rem .7rem; text-align: left; vertical-align: top }
th { background: #f2f5f8 } code { background: #f2f5f8; padding: .1rem .3rem; white-space: nowrap }
@media print {
  body { max-width: none; font-size: 11pt } nav { display: none } h2 { break-after: avoid }
  figure, tr, dl div { break-inside: avoid } .scroll { overflow: visible } code { white-space: normal }
}
"""

PHOTO_QUALITY = 85
"""JPEG quality of the photos inside the page; the separate files are PNG."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with its alternative text and caption, which may be empty; photographic ones are inlined as JPEG."""

    png: bytes
    alternative: str
    caption: str = ""
    photographic: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Text in rows; a cell that starts with a backtick is code."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


Block = str | Table | Picture | list[Picture]
"""A paragraph, a table, a picture, or pictures side by side if there is room."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what follows it."""

    title: str
    blocks: Sequence[Block]


def render_page(title: str, lead: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """The page as HTML."""
    contents = "".join(f'<a href="#s{n}">{escape(section.title)}</a> ' for n, section in enumerate(sections, start=1))
    cards = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    body = "".join(
        f'<section><h2 id="s{n}">{escape(section.title)}</h2>{"".join(map(_block, section.blocks))}</section>\n'
        for n, section in enumerate(sections, start=1)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{escape(title)}</h1><p>{escape(lead)}</p>\n<dl>{cards}</dl>\n<nav>{contents}</nav>\n{body}</body></html>\n"
    )


def _block(block: Block) -> str:
    if isinstance(block, str):
        return f"<p>{escape(block)}</p>"
    if isinstance(block, Table):
        head = "".join(f"<th>{escape(cell)}</th>" for cell in block.headings)
        rows = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in block.rows)
        return f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'
    if isinstance(block, list):
        return f'<div class="plots">{"".join(map(_figure, block))}</div>'
    return _figure(block)


def _figure(picture: Picture) -> str:
    data, kind = picture.png, "png"
    with Image.open(io.BytesIO(picture.png)) as image:
        width, height = image.size
        if picture.photographic:
            encoded = io.BytesIO()
            image.convert("RGB").save(encoded, "JPEG", quality=PHOTO_QUALITY)
            data, kind = encoded.getvalue(), "jpeg"
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>" if picture.caption else ""
    return (
        f'<figure><img alt="{escape(picture.alternative)}" width="{width}" height="{height}" '
        f'src="data:image/{kind};base64,{base64.b64encode(data).decode()}">{caption}</figure>'
    )


def _cell(text: str) -> str:
    return f"<code>{escape(text[1:])}</code>" if text.startswith("`") else escape(text)
