"""Writes a site of static pages: some 8 KB and 20 links each, all reached from the first."""

import os
import random
import sys

WORDS = "wheel the harbour a never turns light before under quiet engine and seven sails again".split()


def main() -> None:
    folder, count = sys.argv[1], int(sys.argv[2])
    draw = random.Random(7)
    os.makedirs(folder)
    for page in range(count):
        links = [2 * page + 1, 2 * page + 2] + [draw.randrange(count) for _ in range(18)]
        text = "\n".join(
            f'<p class="line"><b>{draw.choice(WORDS)}</b> {" ".join(draw.choices(WORDS, k=40))}</p>'
            for _ in range(30)
        )
        anchors = "\n".join(
            f'<li><a href="/{link}.html" class="related" title="Page {link}">Page {link}</a></li>'
            for link in links
            if link < count
        )
        with open(f"{folder}/{page}.html", "w", encoding="utf-8") as file:
            file.write(
                f"<!doctype html>\n<html><head><meta charset=utf-8><title>{page}</title></head><body>\n"
                f"<h1>Page {page}</h1>\n{text}\n<ul>\n{anchors}\n</ul></body></html>\n"
            )


main()
