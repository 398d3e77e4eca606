"""Cases of `earthflow rules try --cases`, judged as the proxy would: no network, no mitmproxy."""
