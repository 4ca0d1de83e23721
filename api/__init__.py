"""HTTP in, HTTP out: one small file per resource, ROUTES in app.py."""
