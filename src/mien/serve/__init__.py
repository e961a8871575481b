"""The service: REST, WebSocket and the page with the live camera, behind `mien serve` (extra ``serve``).

A request's way: `protocol` (connections and slow clients) -> `guard` (host, origin, token, rate) -> `app` (routes) ->
`upload` (images out of a request) or `stream` (frames of a socket) -> `engine` (micro-batches on worker threads).
This file imports nothing, so that the command line starts without FastAPI.
"""
