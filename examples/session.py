"""A conversation remembers its turns, and the high-water mark of their labels, which never falls."""

import json

from ringfence import Assistant

with Assistant() as assistant:
    session = assistant.session(instructions="Answer in one short sentence.")
    session.respond("My knee hurts when I climb stairs.", labels={"health"})
    response = session.respond("What should I ask the doctor?")
    print(response.text)
    print(sorted(session.labels))

    kept = json.dumps(session.dump())
    again = assistant.session(load=json.loads(kept))
    print(len(again.messages), sorted(again.labels))
