"""aioquic as the bearer of MQTT: with_aioquic.py HOST PORT CA NAME [ALPN [CERTIFICATE KEY]].

Prints a port of loopback at which it listens. What comes there goes, as it is, into the one
bidirectional stream of a QUIC connection to the broker, a new one for each TCP connection.
"""

import asyncio
import sys

from aioquic.asyncio import connect
from aioquic.quic.configuration import QuicConfiguration

HOST, PORT, CA, NAME = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
ALPN = sys.argv[5] if len(sys.argv) > 5 else "mqtt"
IDENTITY = sys.argv[6:8]


def configuration():
    made = QuicConfiguration(is_client=True, alpn_protocols=[ALPN], server_name=NAME)
    made.load_verify_locations(CA)
    if IDENTITY:
        made.load_cert_chain(*IDENTITY)
    return made


async def carry(source, sink):
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()


async def serve(from_client, to_client):
    try:
        async with connect(HOST, PORT, configuration=configuration()) as connection:
            from_broker, to_broker = await connection.create_stream()
            inward = asyncio.create_task(carry(from_broker, to_client))
            outward = asyncio.create_task(carry(from_client, to_broker))
            await asyncio.wait({inward, outward}, return_when=asyncio.FIRST_COMPLETED)
            for task in (inward, outward):
                task.cancel()
    except (ConnectionError, OSError) as error:
        print(f"no QUIC connection: {error!r}", file=sys.stderr)
    finally:
        to_client.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
