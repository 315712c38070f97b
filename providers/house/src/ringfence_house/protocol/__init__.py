"""The wire, both sides: HPKE, key configurations, chunked Oblivious HTTP, Binary HTTP. Knows neither side."""
