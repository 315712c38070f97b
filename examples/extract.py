"""Structured output: an instance of a model class, or one typed error; never malformed JSON."""

from pydantic import BaseModel, Field

from ringfence import Assistant, OutputError


class Invitation(BaseModel):
    """What a message invites to."""

    what: str = Field(max_length=40)
    weekday: str = Field(max_length=20)


with Assistant() as assistant:
    try:
        invitation = assistant.extract("Dinner at our place on Sunday! Bring dessert.", Invitation)
    except OutputError as error:
        print(error)
    else:
        print(type(invitation).__name__, invitation.what, "·", invitation.weekday)
