"""A browser of one page, as `$BROWSER`: it goes where it is sent, and where it is sent from there."""

from __future__ import annotations

import sys
import urllib.request

urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=30).read()
