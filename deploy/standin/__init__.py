"""A LiveKit to try things on: its API, its RTMP ingest, its egress and webhooks, in one process.

It imports nothing of Greenroom. `python -m deploy.standin --help` runs it; `deploy.standin.app`
has `Standin` for use inside a test.
"""
