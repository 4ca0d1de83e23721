"""The API's description and a page to browse it, which loads nothing from anywhere else."""

from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Final

from aiohttp import web

from api import files
from api.answers import JSON, encode
from api.openapi import document
from api.problems import Problem
from api.routes import Call, Route, Speaks, Who


@dataclass
class Description:
    """The API's description, made when somebody asks for it first."""

    routes: tuple[Route, ...]
    base_path: str

    @cached_property
    def json(self) -> bytes:
        version = metadata.version("greenroom")
        return encode(document(self.routes, base_path=self.base_path, version=version))


DESCRIPTION: Final = web.AppKey("description", Description)
#: npm's lock says which Swagger UI this is.
SWAGGER: Final = Path(__file__).parent.parent / "node_modules" / "swagger-ui-dist"
PAGES: Final = Path(__file__).parent / "pages"

# fmt: off
#: The only files served here: name -> (folder, content type).
FILES: Final = {
    "swagger-ui.css":       (SWAGGER, "text/css; charset=utf-8"),
    "swagger-ui-bundle.js": (SWAGGER, "text/javascript; charset=utf-8"),
    "favicon-32x32.png":    (SWAGGER, "image/png"),
    "docs.js":              (PAGES,   "text/javascript; charset=utf-8"),
}
# fmt: on

#: Swagger UI sets styles from its script, and draws with data: images; it runs nothing inline.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
#: What npm's lock says changes with a release.
_FILE_CACHE: Final = "public, max-age=3600"
_PAGE_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_PAGE: Final = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>API - Greenroom</title>
    <link rel="icon" href="{base}/static/swagger/favicon-32x32.png">
    <link rel="stylesheet" href="{base}/static/swagger/swagger-ui.css">
  </head>
  <body>
    <main id="api" data-description="{base}/openapi.json"></main>
    <script src="{base}/static/swagger/swagger-ui-bundle.js"></script>
    <script src="{base}/static/swagger/docs.js"></script>
  </body>
</html>
"""


async def openapi(call: Call) -> web.Response:
    """Describe the API: OpenAPI 3.1."""
    headers = {"Content-Type": JSON, "Cache-Control": "no-cache"}
    return web.Response(body=call.request.app[DESCRIPTION].json, headers=headers)


async def docs(call: Call) -> web.Response:
    """Show the description as a page where requests can be tried."""
    text = _PAGE.format(base=call.resources.settings.base_path)
    return web.Response(body=text.encode(), headers=_PAGE_HEADERS)


async def swagger_file(call: Call) -> web.StreamResponse:
    found = FILES.get(call.words["file"])
    if found is None:
        raise Problem("not-found")
    folder, content_type = found
    path = folder / call.words["file"]
    return await files.send(call.request, path, content_type=content_type, cache=_FILE_CACHE)


ROUTES: Final = (
    Route(
        "GET",
        "/openapi.json",
        openapi,
        Who.PUBLIC,
        "Describe the API",
        speaks=Speaks.RAW,
        content_type=JSON,
        is_open=True,
        tag="operation",
    ),
    Route(
        "GET",
        "/docs",
        docs,
        Who.PUBLIC,
        "Browse the API",
        speaks=Speaks.RAW,
        content_type="text/html",
        tag="operation",
    ),
    Route(
        "GET",
        "/static/swagger/{file}",
        swagger_file,
        Who.PUBLIC,
        "What the page of /docs loads",
        speaks=Speaks.RAW,
        is_limited=False,
        problems=("not-found", "media-not-found"),
        is_listed=False,
        tag="operation",
    ),
)
