"""One app, three recipients: only the policy file changes where the answer comes from.

python app.py device.yaml
python app.py openai.yaml      (OPENAI_API_KEY)
python app.py gemini.yaml      (GEMINI_API_KEY)
"""

import sys
from pathlib import Path

from ringfence import Assistant, ConsentRequest, Settings

QUESTION = "Name one thing that people take to the beach. Answer with one word."


def ask_the_user(asked: ConsentRequest) -> bool:
    """Shows where it would go, and exactly what."""
    print(f"May this go to {asked.recipient} ({asked.ring})? Labels: {', '.join(asked.labels)}")
    print(f"    {asked.preview}")
    return input("[y/N] ").strip().lower() == "y"


if len(sys.argv) != 2:
    sys.exit("name a policy file: python app.py POLICY")

with Assistant(Path(sys.argv[1]), consent=ask_the_user) as assistant:
    response = assistant.respond(QUESTION, instructions="", settings=Settings(max_output_tokens=200))
    print(response.text)
    receipt = response.receipt
    print(f"— {receipt.recipient} ({receipt.ring}), {receipt.output_tokens} tokens, policy {receipt.policy}")
