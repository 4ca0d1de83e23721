"""The tests' S3 takes what the project's storage library writes, and gives it back."""

from datetime import timedelta

import aiohttp
import obstore
from obstore.store import S3Store

from tests.system.s3 import S3Server


async def test_an_object_is_written_listed_read_and_signed(s3_server: S3Server):
    """All four ways in which a show uses storage work against it."""
    store = S3Store(
        s3_server.make_bucket(),
        endpoint=s3_server.endpoint_url,
        access_key_id=s3_server.access_key,
        secret_access_key=s3_server.secret_key,
        region=s3_server.region,
        client_options={"allow_http": True},
    )

    await obstore.put_async(store, "hls/one/0.ts", b"segment")
    listed = [item["path"] async for batch in obstore.list(store, "hls") for item in batch]
    read = await (await obstore.get_async(store, "hls/one/0.ts")).bytes_async()
    link = await obstore.sign_async(store, "GET", "hls/one/0.ts", timedelta(minutes=1))

    assert listed == ["hls/one/0.ts"]
    assert bytes(read) == b"segment"
    async with aiohttp.ClientSession() as client, client.get(link) as answer:
        assert (answer.status, await answer.read()) == (200, b"segment")
