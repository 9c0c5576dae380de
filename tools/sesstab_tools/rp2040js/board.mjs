// A Raspberry Pi Pico in rp2040js, its USB serial port on a pty, and its UART0 on another. Started by rp2040.py.
//
// On stdin comes a line of JSON, {library, bootrom, image, flash, size, pty, uart}, then commands, a word a line. Each is answered
// by a line of JSON on stdout, "reset" and "prompt" when the board has printed its prompt. The end of stdin ends the
// emulator, so it does not outlive its parent.
//
// Time: while the core runs, each cycle takes 8 ns of the board's time, however long that takes here. While it waits (WFI,
// WFE), the board's time is this computer's, and nothing is computed. So equal work takes equal cycles, a sleep takes as
// long as it says, and a board that waits takes no CPU time.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';
import { makeRunner } from './core.mjs';
import { attachEntropy } from './entropy.mjs';
import { attachFlash } from './flash.mjs';
import { UartHost } from './uart.mjs';
import { UsbHost } from './usb.mjs';

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const options = JSON.parse((await lines.next()).value);
const library = (file) => createRequire(import.meta.url)(path.join(options.library, 'dist/cjs', file));
const { RP2040, USBCDC, ConsoleLogger, LogLevel } = library('index.js');
const { SimulationClock } = library('clock/simulation-clock.js');
const { BasePeripheral } = library('peripherals/peripheral.js');

const XIP = 0x10000000;
const SLICE = 500000; // cycles between looks at the outside, some milliseconds
const SHORT = 1e6; // nanoseconds; a wait shorter than that is not worth a timer
const BUFFER = 16384; // bytes held for a side that does not take them; then the other has to wait
const PROMPT = '>>> ';
const VECTOR_MAGIC = 0xb007c0d3; // datasheet 2.8.1.1
const ROM_SIZE = 0x4000;

/** A pty, and what carries its bytes to and from the board: an object with send(bytes) and pending. */
class Port {
  constructor(pty, onChange) {
    this.pty = pty;
    this.onChange = onChange; // there are bytes for the board, or there is room for its own
    this.host = null;
    this.output = []; // chunks for the pty
    this.writing = false;
    this.reading = false;
  }

  get full() {
    return this.output.reduce((sum, chunk) => sum + chunk.length, 0) > BUFFER;
  }

  flush() {
    if (this.writing || !this.output.length) return;
    this.writing = true;
    const bytes = Buffer.concat(this.output.splice(0));
    fs.write(this.pty, bytes, (error, written) => {
      if (error) throw error;
      this.writing = false;
      if (written < bytes.length) this.output.unshift(bytes.subarray(written));
      this.flush();
      this.onChange();
    });
  }

  read() {
    if (this.reading || this.host.pending > BUFFER) return;
    this.reading = true;
    const buffer = Buffer.alloc(4096);
    fs.read(this.pty, buffer, 0, buffer.length, null, (error, size) => {
      if (error) throw error;
      this.reading = false;
      this.host.send(buffer.subarray(0, size));
      this.read();
      this.onChange();
    });
  }
}

class Board {
  constructor(image, saved) {
    this.memory = new Uint8Array(options.size).fill(0xff);
    if (saved) this.memory.set(saved.subarray(0, options.size));
    this.memory.set(image);
    this.earlier = { cycles: 0, nanoseconds: 0 }; // before the last reset
    const ptys = options.uart === null ? [options.pty] : [options.pty, options.uart];
    this.ports = ptys.map((pty) => new Port(pty, () => this.schedule()));
    this.start();
    for (const port of this.ports) port.read();
  }

  // The chip

  /** From reset. The flash keeps what it has, and the watchdog knows why, if it was its doing. */
  start(reason = 0, scratch = []) {
    this.inBootLoader = leadsToBootLoader(scratch);
    this.clock = new SimulationClock();
    const mcu = this.mcu = new RP2040(this.clock);
    mcu.logger = new ConsoleLogger(LogLevel.Error, false);
    mcu.loadBootrom(new Uint32Array(options.bootrom));
    mcu.flash.set(this.memory);
    this.memory = mcu.flash.subarray(0, options.size);
    attachFlash(mcu, BasePeripheral, options.size);
    attachEntropy(mcu, BasePeripheral);
    const watchdog = mcu.peripherals[0x40058];
    watchdog.reason = reason;
    watchdog.scratchData.set(scratch);
    watchdog.onWatchdogTrigger = () => {
      this.restart = watchdog;
      watchdog.alarm.enable = false; // or it would go off again at once, for ever
    };
    this.restart = null;
    this.tail = '';
    this.prompted = false;
    this.onPrompt = null;
    this.execute = makeRunner(mcu, () => this.restart !== null);
    const [usb, uart] = this.ports;
    usb.host = new UsbHost(mcu, USBCDC, (bytes) => this.print(bytes));
    if (uart) uart.host = new UartHost(mcu, (bytes) => uart.output.push(bytes));
    mcu.core.PC = XIP;
    this.schedule();
  }

  reset(reason, scratch) {
    const { cycles, nanoseconds } = this.status();
    this.earlier = { cycles, nanoseconds };
    this.start(reason, scratch);
  }

  status() {
    return {
      cycles: this.earlier.cycles + this.mcu.core.cycles,
      nanoseconds: Math.round(this.earlier.nanoseconds + this.clock.nanos),
      bootLoader: this.inBootLoader,
    };
  }

  // Running

  schedule() {
    if (!this.scheduled) this.scheduled = setImmediate(() => this.run());
  }

  /** Runs the core for a slice, or until it waits. */
  run() {
    this.scheduled = null;
    if (this.inBootLoader) return; // whose volume this emulator does not have
    if (this.ports.some((port) => port.full)) return; // until the pty takes bytes
    this.wake();
    const { clock } = this;
    const { core } = this.mcu;
    const end = core.cycles + SLICE;
    while (core.cycles < end && !this.restart) {
      if (!core.waiting) {
        this.execute(end - core.cycles);
        continue;
      }
      const wait = clock.nextAlarm ? clock.nanosToNextAlarm : Infinity;
      if (wait >= SHORT) {
        this.sleep(wait);
        break;
      }
      clock.tick(wait);
    }
    if (this.restart) this.reset(this.restart.reason, this.restart.scratchData);
    for (const port of this.ports) {
      port.flush();
      port.read();
    }
    if (!this.sleeping) this.schedule();
  }

  /** The core waits: let time pass, here as on the board. */
  sleep(nanoseconds) {
    const timer = nanoseconds < Infinity ? setTimeout(() => this.run(), nanoseconds / 1e6) : null;
    this.sleeping = { since: process.hrtime.bigint(), nanoseconds, timer };
  }

  wake() {
    if (!this.sleeping) return;
    const { since, nanoseconds, timer } = this.sleeping;
    this.sleeping = null;
    clearTimeout(timer);
    this.clock.tick(Math.min(Number(process.hrtime.bigint() - since), nanoseconds));
  }

  print(bytes) {
    this.ports[0].output.push(bytes);
    this.tail = (this.tail + Buffer.from(bytes).toString('latin1')).slice(-PROMPT.length);
    if (this.tail === PROMPT) {
      this.prompted = true;
      this.onPrompt?.();
      this.onPrompt = null;
    }
  }

  /** Calls back once the prompt has come after the last reset. */
  whenPrompted(callback) {
    if (this.prompted) callback();
    else this.onPrompt = callback;
  }
}

/** Whether the chip, reset by its watchdog, goes on in the boot loader in ROM: where MicroPython's machine.bootloader() leads. */
function leadsToBootLoader([, , , , magic, check, , entry]) {
  return magic === VECTOR_MAGIC && (check ^ -magic) >>> 0 === entry && entry < ROM_SIZE;
}

function answer(values = {}) {
  fs.writeSync(1, `${JSON.stringify(values)}\n`);
}

const saved = options.flash && fs.existsSync(options.flash) ? fs.readFileSync(options.flash) : null;
const board = new Board(Buffer.from(options.image, 'base64'), saved);
const commands = {
  prompt: () => board.whenPrompted(answer),
  reset: () => {
    for (const port of board.ports) port.output = [];
    board.reset();
    board.whenPrompted(answer);
  },
  status: () => answer(board.status()),
  save: () => {
    fs.writeFileSync(`${options.flash}.new`, board.memory);
    fs.renameSync(`${options.flash}.new`, options.flash);
    answer();
  },
};
for await (const line of lines) commands[line]();
// Not process.exit(): it would wait for the read of the pty, for ever.
process.kill(process.pid, 'SIGKILL');
