"""Runs one crawler and prints what it used: wall time, processor time with all its children, peak
memory. The number of pages is what the crawler says, in a form that each has."""

import json
import os
import re
import resource
import subprocess
import sys
import time


def pages_of(name: str, out: str) -> int:
    if name == "wheelhouse-crawler":
        return json.loads(out)["pages"]
    return int(re.search(r"pages (\d+)", out).group(1))


def files(argv) -> int:
    """What wget and wget2 leave: a file for each page."""
    folder = argv[argv.index("-P") + 1]
    return sum(len(names) for _, _, names in os.walk(folder))


def main() -> None:
    name, site, *command = sys.argv[1:]
    begin = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    seconds = time.monotonic() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    pages = files(sys.argv) if "-P" in sys.argv else pages_of(name, done.stdout)
    if pages == 0:
        print(f"{name}: no page at all:\n{done.stderr[-2000:]}", file=sys.stderr)
        return
    print(
        f"{name:<20} {site:<8} {pages:6} {seconds:8.2f} {pages / seconds:9.0f} "
        f"{cpu / pages * 1e6:12.0f} {used.ru_maxrss / 1e3:10.1f}",
        flush=True,
    )
    if path := os.environ.get("JSON"):
        row = {
            "crawler": name,
            "site": site,
            "pages": pages,
            "seconds": seconds,
            "cpu_seconds": cpu,
            "peak_kb": used.ru_maxrss,
        }
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


main()
