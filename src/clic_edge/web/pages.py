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
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def page(title: str, body: str, *, status: int = 200, language: str = "en") -> HTMLResponse:
    """Return a page; the title is escaped here, the body is HTML and was escaped by the caller."""
    return HTMLResponse(_PAGE.format(title=escape(title), body=body, language=language), status)


def plain_page(title: str, *sentences: str, status: int = 200) -> HTMLResponse:
    """Return a page of sentences, each a paragraph and escaped."""
    return page(title, "\n".join(f"<p>{escape(one)}</p>" for one in sentences), status=status)
