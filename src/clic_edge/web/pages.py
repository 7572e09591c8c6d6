"""A page in plain HTML: no script, nothing from elsewhere."""

from html import escape

from starlette.responses import HTMLResponse

_PAGE = """\
<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: {width}; margin: 3rem auto; padding: 0 1rem }}
.scrolls {{ overflow-x: auto; margin-bottom: 1.5rem }}
table {{ border-collapse: collapse; width: 100% }}
time {{ white-space: nowrap }}
caption {{ text-align: left; font-weight: bold; padding: .3rem 0 }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem 1rem .3rem 0 }}
tr {{ border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent) }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


def page(
    title: str, body: str, *, status: int = 200, language: str = "en", wide: bool = False
) -> HTMLResponse:
    """Return a page; the title is escaped here, the body is HTML and was escaped by the caller."""
    width = "72rem" if wide else "44rem"
    text = _PAGE.format(title=escape(title), body=body, language=language, width=width)
    return HTMLResponse(text, status)


def plain_page(title: str, *sentences: str, status: int = 200) -> HTMLResponse:
    """Return a page of sentences, each a paragraph and escaped."""
    return page(title, "\n".join(f"<p>{escape(one)}</p>" for one in sentences), status=status)
