"""The catalogue of problems, as pages: what each means, whether it passes, what to do."""

from html import escape
from typing import Final

from aiohttp import web

from api.problems import CATALOGUE, Kind, Problem
from api.routes import Call, Route, Speaks, Who

#: These pages run nothing and load nothing but their own style.
HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "public, max-age=300",
}
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #14161b; --soft: #565b68; --ground: #fff; --line: #d9dce3;
  --accent: #0b7a4b }
@media (prefers-color-scheme: dark) { :root { --ink: #f5f6f8; --soft: #b4b8c3; --ground: #0a0b0e;
  --line: #2a2e37; --accent: #3ddc97 } }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
main { max-width: 44rem; margin: 0 auto; padding: clamp(1.5rem, 5vw, 4rem) 1.25rem }
h1 { font-size: clamp(1.5rem, 1rem + 2.4vw, 2.5rem); line-height: 1.2; margin: 0 0 .5rem }
a { color: var(--accent) }
code { font: .875em ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere }
dl { display: grid; gap: .25rem; margin: 2rem 0 } dt { color: var(--soft); font-size: .875rem }
dd { margin: 0 0 1rem } ul { list-style: none; padding: 0 }
li { border-top: 1px solid var(--line); padding: .6rem 0; display: flex; gap: 1rem;
  align-items: baseline }
li code { min-width: 3ch; color: var(--soft) }
"""


async def list_problems(call: Call) -> web.Response:
    """List every problem there is, by status."""
    base = call.resources.settings.base_path
    lines = "".join(
        f'<li><code>{kind.status}</code> <a href="{base}/problems/{slug}">{escape(kind.title)}</a>'
        for slug, kind in sorted(CATALOGUE.items(), key=lambda line: (line[1].status, line[0]))
    )
    return _page(
        "Problems", f"<h1>Problems</h1><p>What this API says when it says no.<ul>{lines}</ul>"
    )


async def show_problem(call: Call) -> web.Response:
    slug = call.words["slug"]
    kind = CATALOGUE.get(slug)
    if kind is None:
        raise Problem("not-found")
    base = call.resources.settings.base_path
    return _page(kind.title, _about(slug, kind) + f'<p><a href="{base}/problems">All problems</a>')


def _about(slug: str, kind: Kind) -> str:
    retryable = "Yes: the same request may succeed later." if kind.is_retryable else "No."
    return (
        f"<h1>{escape(kind.title)}</h1><p><code>{kind.status} {escape(slug)}</code><dl>"
        f"<dt>What it means<dd>{escape(kind.meaning)}"
        f"<dt>Is it retryable<dd>{retryable}"
        f"<dt>What to do<dd>{escape(kind.remedy)}</dl>"
    )


def _page(title: str, main: str) -> web.Response:
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} - Greenroom</title><style>{_STYLE}</style><main>{main}</main>"
    )
    return web.Response(body=text.encode(), headers=HEADERS)


ROUTES: Final = (
    Route(
        "GET",
        "/problems",
        list_problems,
        Who.PUBLIC,
        "Every problem there is",
        speaks=Speaks.RAW,
        content_type="text/html",
        tag="operation",
    ),
    Route(
        "GET",
        "/problems/{slug}",
        show_problem,
        Who.PUBLIC,
        "What a problem means and what to do",
        speaks=Speaks.RAW,
        content_type="text/html",
        problems=("not-found",),
        tag="operation",
    ),
)
