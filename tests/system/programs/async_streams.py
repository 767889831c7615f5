# SPDX-License-Identifier: BSD-2-Clause
"""
async_streams.py serve | ask HOST PORT - asyncio's streams: bytes that come back, of connections one after the other and
at once. Who asks has said everything, and its end, before it has heard most of it.
"""
import asyncio
import os
import sys

HOW, HOST, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
    writer.close()
    await writer.wait_closed()


async def ask(size):
    """Does all come back, and then the end?"""
    said = os.urandom(size)
    reader, writer = await asyncio.open_connection(HOST, PORT)

    async def say():
        writer.write(said)
        await writer.drain()
        writer.write_eof()

    _, heard = await asyncio.gather(say(), reader.read())
    writer.close()
    await writer.wait_closed()
    return heard == said


async def main():
    if HOW == "serve":
        async with await asyncio.start_server(echo, HOST, PORT) as server:
            await server.serve_forever()
    one_by_one = [await ask(i * 100) for i in range(50)]
    at_once = await asyncio.gather(*[ask((i + 1) << 19) for i in range(8)])
    print(sum(one_by_one) + sum(at_once))


asyncio.run(main())
