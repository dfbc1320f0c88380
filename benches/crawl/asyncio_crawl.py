"""The crawler of "500 Lines or Less" as one would write it today: asyncio, aiohttp, a queue, 16
workers, links by regular expression."""

import asyncio
import re
import sys
from urllib.parse import urldefrag, urljoin, urlsplit

import aiohttp

HREF = re.compile(r"""(?i)href=["']([^\s"'<>]+)""")


async def crawl(root: str) -> int:
    host = urlsplit(root).netloc
    seen, pages = {root}, 0
    queue: asyncio.Queue[str] = asyncio.Queue()
    queue.put_nowait(root)

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal pages
        while True:
            url = await queue.get()
            async with session.get(url, allow_redirects=False) as response:
                text = await response.text()
                if response.status == 200 and response.content_type == "text/html":
                    pages += 1
                    for href in set(HREF.findall(text)):
                        link = urldefrag(urljoin(url, href)).url
                        if link not in seen and urlsplit(link).netloc == host:
                            seen.add(link)
                            queue.put_nowait(link)
            queue.task_done()

    async with aiohttp.ClientSession() as session:
        workers = [asyncio.create_task(work(session)) for _ in range(16)]
        await queue.join()
        for worker in workers:
            worker.cancel()
    return pages


print("pages", asyncio.run(crawl(sys.argv[1])))
