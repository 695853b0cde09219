"""A page for a browser on this machine: search across languages, chunks in their documents, representations side by side.

`answers` is what the page is told, `service` says it over HTTP, `page/` is the page itself; `pipelines.commands.explore` serves it.
"""
