"""The shortest program: one question, answered on this machine, and the receipt that says so."""

from ringfence import Assistant

with Assistant() as assistant:
    response = assistant.respond("What is the capital of France?")
    print(response.text)
    print(response.receipt.ring, response.receipt.model, response.usage.output_tokens)
