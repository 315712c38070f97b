"""OpenAI and compatible servers, as a provider of Ringfence."""
