"""Promptgate: a prompt-serving gateway. The map:

server      the process: workers, sockets, signals            asgi       the front door: hot routes straight in
app         composition root, knows everybody                 settings   configuration, loaded once, strictly
edge        the HTTP faces of the data plane                  pipeline   the sentence: one request, eleven verbs
core        the words: requests, events, errors, ports        wire       other people's JSON and SSE, pure
providers   our call to their bytes and back, pure            transport  the only upstream sockets
prompts     templates, contracts, merging                     guards     what may go in and come out
routing     which targets, in which order                     limits     permits and token counts
pricing     integer money                                     dialects   what callers speak, pure
experiments  who gets which variant of a split alias       accounts  settings to whom we speak to
storage     Postgres, Redis, memory twins, the ledger         telemetry  logs, metrics, traces
control     the control plane: one folder per resource        embedded   Postgres and Redis from their wheels
running     a worker's parts while it serves

settings reads sections of its own, settings_providers upstream accounts and routes, both by settings_tables.
"""
