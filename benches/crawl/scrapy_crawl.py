"""A spider of the same shape: follows every <a> on the host, 16 requests at once, no delay."""

import logging
import sys

from scrapy import Spider
from scrapy.crawler import CrawlerProcess
from scrapy.linkextractors import LinkExtractor

pages = 0


class Site(Spider):
    name = "site"
    start_urls = [sys.argv[1]]
    allowed_domains = ["127.0.0.1"]
    extractor = LinkExtractor()

    def parse(self, response):
        global pages
        pages += 1
        for link in self.extractor.extract_links(response):
            yield response.follow(link, self.parse)


logging.disable(logging.CRITICAL)
process = CrawlerProcess(
    {
        "CONCURRENT_REQUESTS": 16,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
        "DOWNLOAD_DELAY": 0,
        "ROBOTSTXT_OBEY": False,
        "LOG_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
    }
)
process.crawl(Site)
process.start()
print("pages", pages)
