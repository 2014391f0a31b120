"""Studio: look at a store in the browser, and decide on pairs, boxes and groups.

Pages are plain HTML of the server; htmx replaces parts of them, and `static/studio.js` has the
keys. There is no build step. The store is read through its manifests as Arrow (`versions`), so no
DuckDB file is open while a build publishes; the only table that is written is `reviews`
(`decisions`), and only with `--allow-review`.

A page is one module in `pages/` and one template in `templates/`:

1. The module has `NAME` (in the navigation), `PATH` (its first address) and `routes(studio)`, which
   returns a `fastapi.APIRouter`. Add the module to `PAGES` in `pages/__init__.py`.
2. A route is a plain `def` (it runs in a thread). It takes `request`, reads the version that the
   address names by `studio.version(request)`, and ends with
   `studio.page(request, "NAME.html", ...)`. Filters are a pydantic model in the query, so that the
   address bar has them. Raise `PageNotFoundError` for an id that does not exist; errors of
   `repic.errors.FIXABLE` become a page with their sentence.
3. The template extends `layout.html` and fills `main`. Everything is escaped; there are no inline
   styles or scripts, which the Content-Security-Policy forbids: classes are in
   `static/studio.css`, and boxes are drawn as SVG by `parts.html`.
4. Pictures are addressed by id: `studio.photo_url`, `studio.crop_url`; see `pictures`.
5. What changes something is a POST whose fields `fields(request)` gives, after
   `studio.check_may_review()`. The guard has refused other sites by then.

Slow work with rights of its own (SQL) runs in a process: see `sql_process`.
"""

from __future__ import annotations
