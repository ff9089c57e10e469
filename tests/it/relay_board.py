"""A relay board on a serial line, played by pymodbus: it tells what is written to it and takes its inputs from stdin.

Lines in:  "input N on|off", "spoil" (the next answer carries a wrong checksum), "noise" (bytes that nobody asked for), "show"
(tells when the inputs as they are now have been asked for and answered).
Lines out: "ready", "write ADDRESS V1 V2 ...", "spoilt", "noisy", "shown".
"""

import asyncio
import os
import sys

from pymodbus import FramerType
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusSerialServer

INPUTS = ModbusSequentialDataBlock(0, [False] * 32)
WISHES = {"spoil": 0, "show": 0}
READ_INPUTS = 2


def say(text):
    print(text, flush=True)


class Registers(ModbusSequentialDataBlock):
    """Tells every write; the data model counts from 1."""

    def setValues(self, address, values):
        super().setValues(address, values)
        say("write %d %s" % (address - 1, " ".join(str(value) for value in values)))


def on_the_wire(is_sending, data):
    if is_sending and WISHES["show"] > 0 and data[1] == READ_INPUTS:
        WISHES["show"] -= 1
        if WISHES["show"] == 0:
            say("shown")
    if is_sending and WISHES["spoil"] > 0:
        WISHES["spoil"] -= 1
        say("spoilt")
        return data[:-1] + bytes([data[-1] ^ 0xFF])
    return data


async def listen_to_the_test(port):
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        words = line.decode().split()
        if words[0] == "input":
            INPUTS.setValues(int(words[1]) + 1, [words[2] == "on"])
        elif words[0] == "spoil":
            WISHES["spoil"] += 1
        elif words[0] == "show":
            # An answer may be on its way already; the one after the next began later than this line.
            WISHES["show"] = 2
        elif words[0] == "noise":
            line = os.open(port, os.O_WRONLY | os.O_NOCTTY)
            os.write(line, bytes(range(64)))
            os.close(line)
            say("noisy")


async def main(port):
    device = ModbusDeviceContext(di=INPUTS, hr=Registers(0, [0] * 64))
    server = ModbusSerialServer(
        ModbusServerContext(devices=device, single=True),
        framer=FramerType.RTU,
        port=port,
        baudrate=9600,
        trace_packet=on_the_wire,
        trace_connect=lambda is_connected: say("ready") if is_connected else None,
    )
    test = asyncio.create_task(listen_to_the_test(port))
    await asyncio.gather(server.serve_forever(), test)


asyncio.run(main(sys.argv[1]))
