"""The web front: an RSGI application that granian serves (https://github.com/emmett-framework/granian).

`application` answers the requests that the product's backend sends most often from the event loop and gives
every other request to Django in a thread.
"""
