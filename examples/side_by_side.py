"""Several requests at once in an async program: one model answers them side by side."""

import asyncio

from ringfence import AsyncAssistant, Settings

QUESTIONS = ["What is the capital of France?", "What is the capital of Italy?", "What is the capital of Japan?"]


async def main() -> None:
    """Asks all of them at once."""
    async with AsyncAssistant() as assistant:
        settings = Settings(max_output_tokens=12)
        for response in await asyncio.gather(*(assistant.respond(q, settings=settings) for q in QUESTIONS)):
            print(response.text)


asyncio.run(main())
