"""OpenAI's Responses API as a client format, in front of any provider.

dialect     the Dialect itself
reading     the body -> ChatRequest                        items    input items -> messages
fields      settings -> fields of the chat form            objects  the response object
output      what a model says -> output items, by steps    framing  translated answers, whole and streamed
native      answers of providers that speak it too
"""
