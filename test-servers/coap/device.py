"""A device by aiocoap: sends a small message and one in blocks, reads its twin, and takes a command.

Arguments: the URI without a path, the query that each request has ('' = none), and for OSCORE the folder of the context.
Prints what came, a line each.
"""

import asyncio
import sys

from aiocoap import GET, POST, Context, Message

uri, query = sys.argv[1:3]


def say(what, response):
    print(what, str(response.code), response.payload.decode(), flush=True)


async def main():
    context = await Context.create_client_context()
    if len(sys.argv) > 3:
        context.client_credentials.load_from_dict({uri + "/*": {"oscore": {"basedir": sys.argv[3] + "/"}}})

    async def ask(code, path, payload=b"", content_format=None):
        message = Message(code=code, uri=uri + path + query, payload=payload)
        if content_format is not None:
            message.opt.content_format = content_format
        return await asyncio.wait_for(context.request(message).response, 20)

    say("small", await ask(POST, "/telemetry", b"small", 0))
    say("large", await ask(POST, "/telemetry", b"x" * 20000, 0))
    say("twin", await ask(GET, "/twin"))
    request = context.request(Message(code=GET, uri=uri + "/commands" + query, observe=0))
    say("observes", await asyncio.wait_for(request.response, 20))
    async for notification in request.observation:
        say("command", notification)
        if uri.startswith("coap+tcp"):
            tag = notification.opt.etags[0].hex() if notification.opt.etags else notification.opt.etag.hex()
            say("settled", await ask(POST, "/commands/" + tag))
        break
    await asyncio.sleep(0.2)
    await context.shutdown()


asyncio.run(main())
