"""Open each page of the built site in a browser, as wide as a desktop and a phone.

Reported, with exit status 1: a page wider than the window, a figure that does not load,
a link or anchor of the site that leads nowhere, an error on the console, a mail address
where none is meant. Tables that scroll at desktop width are listed, and no error.

    python tools/check_site.py docs/_build/html

It needs selenium, and Chromium with its driver (Debian: chromium, chromium-driver).
Nothing beyond this machine is asked, so that formulas stay as TeX: MathJax would come
from elsewhere.
"""

import argparse
import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urldefrag, urlparse

from selenium import webdriver

WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}

# What a page says of itself, once its figures are there.
LOOK = """
const done = arguments[arguments.length - 1];
const images = [...document.images];
images.forEach((image) => { image.loading = "eager"; });
Promise.allSettled(images.map((image) => image.decode())).then(() => done({
  width: document.documentElement.scrollWidth,
  window: document.documentElement.clientWidth,
  broken: images.filter((image) => !image.naturalWidth).map((image) => image.src),
  links: [...document.links].map((link) => link.href),
  names: [...document.querySelectorAll("[id], a[name]")].map((x) => x.id || x.name),
  scrolling: [...document.querySelectorAll(".table-wrapper")].filter(
    (table) => table.scrollWidth > table.clientWidth + 1).length,
}));
"""


class Quiet(SimpleHTTPRequestHandler):
    """Serve files without a line for each."""

    def log_message(self, *args):
        """Say nothing."""


def open_browser(width, height, dark):
    """Return a headless Chromium with a window of this size that asks nobody else."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):
        options.add_argument(argument)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    browser = webdriver.Chrome(options=options, service=service)
    # A window cannot be as narrow as a phone; a device can.
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
    metrics["mobile"] = width < 500
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    return browser


def look(browser, url, home):
    """Open a page; return what it says of itself, and what is wrong with it alone."""
    browser.get(url)
    page = browser.execute_async_script(LOOK)
    faults = [f"figure does not load: {source}" for source in page["broken"]]
    if page["width"] > page["window"]:
        faults.append(f"{page['width']} px wide in a window of {page['window']}")
    mails = [link for link in page["links"] if link.startswith("mailto:")]
    faults += [f"mail address: {link}" for link in mails]
    for entry in browser.get_log("browser"):
        elsewhere = entry["message"].startswith("http") and (
            not entry["message"].startswith(home)
        )
        if entry["level"] == "SEVERE" and not elsewhere:
            faults.append(f"console: {entry['message']}")
    return page, faults


def dead_links(page, names, home):
    """Links of a page into the site whose page or anchor is not there."""
    dead = []
    for link in dict.fromkeys(page["links"]):
        if not link.startswith(home):
            continue
        target, anchor = urldefrag(link)
        path = urlparse(target).path.lstrip("/") or "index.html"
        if path in names:
            if anchor and anchor not in names[path]:
                dead.append(f"no such anchor: {path}#{anchor}")
        elif not (ROOT / path).is_file():
            dead.append(f"no such page: {path}")
    return dead


def check(pages, home, dark, shots):
    """Return what is wrong, by width and page, and pages whose tables scroll."""
    faults, seen, scrolling = {}, {}, []
    for name, size in WIDTHS.items():
        browser = open_browser(*size, dark)
        try:
            for path in pages:
                seen[path], found = look(browser, home + path, home)
                faults[name, path] = found
                if name == "desktop" and seen[path]["scrolling"]:
                    scrolling.append(f"{path} ({seen[path]['scrolling']})")
                if shots:
                    file = f"{path.replace('/', '.')}.{name}.png"
                    browser.save_screenshot(str(shots / file))
        finally:
            browser.quit()
    names = {path: {"", *page["names"]} for path, page in seen.items()}
    for path, page in seen.items():
        faults["any", path] = dead_links(page, names, home)
    return faults, scrolling


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("site", type=Path, nargs="?", default="docs/_build/html")
parser.add_argument("--only", nargs="*", help="pages to look at, such as index.html")
parser.add_argument("--dark", action="store_true", help="ask for dark pages")
parser.add_argument("--shots", type=Path, help="folder for a picture of each page")
args = parser.parse_args()
ROOT = args.site
if args.shots:
    args.shots.mkdir(parents=True, exist_ok=True)
found = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*.html"))
pages = args.only or [p for p in found if not p.startswith(("_static", "_downloads"))]
if not pages:
    sys.exit(f"{ROOT} holds no pages: build them first (nox -s docs).")

server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(ROOT)))
threading.Thread(target=server.serve_forever, daemon=True).start()
faults, scrolling = check(
    pages, f"http://127.0.0.1:{server.server_port}/", args.dark, args.shots
)
server.shutdown()
wrong = [(where, fault) for where, found in faults.items() for fault in found]
for (width, path), fault in wrong:
    print(f"{path} [{width}]: {fault}")
print(f"Tables that scroll at desktop width: {', '.join(scrolling) or 'none'}.")
print(f"{len(pages)} pages at {len(WIDTHS)} widths, {len(wrong)} faults.")
sys.exit(bool(wrong))
