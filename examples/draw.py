"""A picture from a partner, after a person was asked. Without OPENAI_API_KEY it says so, and nobody is asked."""

from pathlib import Path

from ringfence import Assistant, ConsentRequest, RingfenceError


def ask(request: ConsentRequest) -> bool:
    """Shows what would be sent, and where; only `True` is a yes."""
    return input(f'Send "{request.preview}" to {request.recipient} ({request.ring})? [y/n] ') == "y"


with Assistant(Path(__file__).with_name("policies") / "pictures.yaml", consent=ask) as assistant:
    try:
        response = assistant.draw("A lighthouse at dusk, in watercolour", size="1024x1024")
    except RingfenceError as error:
        print(error)
    else:
        Path("lighthouse.png").write_bytes(response.images[0].data)
        print("lighthouse.png", response.receipt.recipient, response.receipt.cost_usd)
