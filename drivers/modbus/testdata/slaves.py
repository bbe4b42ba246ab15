"""Slaves 1 and 2 of pymodbus: `slaves.py tcp` or `slaves.py rtu TTY`.

Coil and discrete input n are on where n is divisible by 3; register n of slave u holds 1000 * u + n. Each table has 200
addresses. Prints the TCP port, or 0, when it listens.
"""
import asyncio
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server.async_io import ModbusSerialServer, ModbusTcpServer
from pymodbus.transaction import ModbusRtuFramer, ModbusSocketFramer

COUNT = 200


def slave(unit):
    bits = [n % 3 == 0 for n in range(COUNT)]
    registers = [1000 * unit + n for n in range(COUNT)]
    blocks = {table: ModbusSequentialDataBlock(0, list(values))
              for table, values in (("co", bits), ("di", bits), ("hr", registers), ("ir", registers))}
    return ModbusSlaveContext(zero_mode=True, **blocks)


async def main():
    context = ModbusServerContext(slaves={unit: slave(unit) for unit in (1, 2)}, single=False)
    port = 0
    if sys.argv[1] == "tcp":
        server = ModbusTcpServer(context, ModbusSocketFramer, address=("127.0.0.1", 0), ignore_missing_slaves=True)
        serving = asyncio.ensure_future(server.serve_forever())
        await server.serving
        port = server.server.sockets[0].getsockname()[1]
    else:
        server = ModbusSerialServer(context, ModbusRtuFramer, port=sys.argv[2], baudrate=19200, ignore_missing_slaves=True)
        await server.start()
        serving = asyncio.get_event_loop().create_future()
    print(port, flush=True)
    await serving


asyncio.run(main())
