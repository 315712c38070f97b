"""Words as they come, and a stream that is closed early: closing it stops the model."""

from pathlib import Path

from ringfence import Assistant

messages = Path(__file__).with_name("inputs") / "messages.txt"

with Assistant() as assistant:
    with assistant.stream(messages.read_text(encoding="utf-8"), task="notification_summary") as stream:
        for text in stream.text():
            print(text, end="", flush=True)
        print()
        print(stream.response().finish_reason)

    with assistant.stream("Write a long story about a lighthouse.") as stream:
        for number, text in enumerate(stream.text()):
            print(text, end="", flush=True)
            if number == 5:
                break
    print(" …")
