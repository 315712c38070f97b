"""What the three Ringfence adapters share: a policy with one partner, consent given on every call, the audit log on."""

import asyncio
import json
import os
import tempfile
from pathlib import Path

from common import KEY, SYSTEM, TOOL_PARAMS

POLICY = """
version: 1
name: bench
recipients:
  vendor: {{ring: partner, provider: {provider}, model: {model}, url: "{url}", secret: "env:BENCH_KEY"{more}}}
labels:
  public: {{}}
  unclassified: {{}}
unknown: unclassified
flow:
  - id: partner-public
    allow: {{labels: [public], to: [partner]}}
    consent: ask
route:
  - id: always
    prefer: [vendor]
"""


OPTIONS = {"instructions": SYSTEM, "labels": ("public",)}


async def yes(_asked):
    return True


class Base:
    provider = "openai"
    model = ""
    path = ""
    more = ""

    def __init__(self, base_url):
        os.environ["BENCH_KEY"] = KEY
        from ringfence.policy import read_policy

        text = POLICY.format(provider=self.provider, model=self.model, url=base_url + self.path, more=self.more)
        self.policy = read_policy(text)
        self.folder = Path(tempfile.mkdtemp(prefix="ringfence-bench-"))
        self._sync = None
        self._async = None
        self._loop = None

    @property
    def sync(self):
        if self._sync is None:
            from ringfence import Assistant

            self._sync = Assistant(self.policy, consent=yes, audit=self.folder / "sync")
        return self._sync

    @property
    def here(self):
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            from ringfence import AsyncAssistant

            self._async = AsyncAssistant(self.policy, consent=yes, audit=self.folder / "async")
            self._loop = loop
        return self._async

    def tool_options(self):
        from ringfence import Tool

        tool = Tool(name="get_weather", description="Weather now in a city", parameters=TOOL_PARAMS)
        return {**OPTIONS, "tools": [tool]}

    def call(self, p):
        return _out(self.sync.respond(p, **OPTIONS))

    async def acall(self, p):
        return _out(await self.here.respond(p, **OPTIONS))

    def stream(self, p):
        with self.sync.stream(p, **OPTIONS) as stream:
            yield from stream.text()

    async def astream(self, p):
        async with self.here.stream(p, **OPTIONS) as stream:
            async for text in stream.text():
                yield text

    def tool(self, p):
        return _call(self.sync.respond(p, **self.tool_options()))

    async def atool(self, p):
        return _call(await self.here.respond(p, **self.tool_options()))


def _out(response):
    return response.text, response.usage.input_tokens + response.usage.output_tokens


def _call(response):
    call = response.tool_calls[0]
    return call.name, json.loads(call.arguments)
