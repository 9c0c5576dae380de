// Compares our execution of instructions (rp2040js/core.mjs) with rp2040js's own, instruction by instruction: registers,
// flags, cycles, time. node rp2040_cores.mjs LIBRARY BOOTROM.json IMAGE.bin; prints what differs, else "same: <number>".
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { attachFlash } from '../../tools/sesstab_tools/rp2040js/flash.mjs';
import { decode, makeRunner } from '../../tools/sesstab_tools/rp2040js/core.mjs';

const [libraryPath, bootromPath, imagePath] = process.argv.slice(2);
const library = (file) => createRequire(import.meta.url)(path.join(libraryPath, 'dist/cjs', file));
const { RP2040, USBCDC, ConsoleLogger, LogLevel } = library('index.js');
const { SimulationClock } = library('clock/simulation-clock.js');
const { BasePeripheral } = library('peripherals/peripheral.js');

const RAM = 0x20000000;
const BY_SHIFT = ['lslReg', 'lsrReg', 'asrReg', 'ror'];
const BLX_LR = 0x47f0; // rp2040js overwrites the target before it goes there
let compared = 0;

function makeChip() {
  const mcu = new RP2040(new SimulationClock());
  mcu.logger = new ConsoleLogger(LogLevel.Error, false);
  mcu.loadBootrom(new Uint32Array(JSON.parse(fs.readFileSync(bootromPath))));
  return mcu;
}

const ours = makeChip();
const theirs = makeChip();
let run = makeRunner(ours, () => false);

function step() {
  run(1);
  theirs.clock.tick(theirs.core.executeInstruction() * 8);
}

function state({ core, clock }, skip = '') {
  const flags = [...'NZCV'].filter((flag) => !skip.includes(flag)).map((flag) => `${flag}=${core[flag]}`);
  const registers = [...core.registers].map((value) => value.toString(16));
  return `${registers} ${flags} cycles=${core.cycles} nanos=${clock.nanos}`;
}

function compare(what, skip) {
  const [a, b] = [state(ours, skip), state(theirs, skip)];
  if (a !== b) {
    console.log(`${what}\n ours   ${a}\n theirs ${b}`);
    process.exit(1);
  }
  compared += 1;
}

// A generator of numbers that is the same in each run (xorshift).
let seed = 88675123;
function random() {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return seed >>> 0;
}
const EDGES = [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 31, 32, 33, 0xff];
const value = () => (random() & 3 ? random() : EDGES[random() % EDGES.length]);

/** One instruction from one state, on both. `registers` are r0 to r7. */
function single(opcode, opcode2, registers, flags, skip) {
  for (const mcu of [ours, theirs]) {
    const { core } = mcu;
    mcu.sramView.setUint16(0x8000, opcode, true);
    mcu.sramView.setUint16(0x8002, opcode2, true);
    registers.forEach((register, i) => { core.registers[i] = register; });
    for (let i = 8; i < 13; i++) core.registers[i] = RAM + 0x10000 + 4 * i;
    core.registers[13] = RAM + 0x20000;
    core.registers[14] = RAM + 0x1001;
    core.registers[15] = RAM + 0x8000;
    [core.N, core.Z, core.C, core.V] = [flags === 8, flags === 4, (flags & 2) > 0, (flags & 1) > 0];
  }
  step();
  compare(`${decode(opcode)} 0x${opcode.toString(16)} ${registers.map((r) => r.toString(16))} flags ${flags}`, skip);
}

/** What reads or writes through r0 to r7 gets addresses in RAM. */
function registersFor(name) {
  if (/^(ld|st)/.test(name)) return Array.from({ length: 8 }, (_, i) => (i % 2 ? RAM + 0x18000 + (random() & 0xffc) : random() & 0xfc));
  return Array.from({ length: 8 }, value);
}

function randomInstructions(count) {
  for (const mcu of [ours, theirs]) mcu.sram.forEach((_, i) => { mcu.sram[i] = (i * 7 + (i >> 8)) & 0xff; });
  for (let n = 0; n < count;) {
    const opcode = random() & 0xffff;
    const name = decode(opcode);
    if (name === 'rare') continue;
    const registers = registersFor(name);
    // An address is a base in RAM, in an odd register, and an offset, in an even one.
    const m = (opcode >> 6) & 7, b = (opcode >> 3) & 7;
    if (/^(ldr|str)(h|b|s|sb|sh)?Reg$|^ldrs[bh]$/.test(name) && m % 2 === b % 2) continue;
    if (/^(ldr|str)[hb]?$/.test(name) && !(b % 2)) continue;
    if (/^(ld|st)m$/.test(name) && (!(((opcode >> 8) & 7) % 2) || !(opcode & 0xff))) continue;
    if (opcode === BLX_LR) continue;
    let skip = '';
    if (BY_SHIFT.includes(name)) {
      registers[b] = 1 + (random() % 31);
      if (b === (opcode & 7)) registers[b] = 5;
    }
    if (name === 'adc' || name === 'sbc') skip = 'V';
    single(opcode, 0xd000 | (random() & 0x2fff), registers, random() % 9, skip);
    n += 1;
  }
}

/** Where we follow ARM's manual, and rp2040js does not: [name, opcode, r0, r1, C before, result, C, V] */
function exceptions() {
  const LSL = 0x4088, LSR = 0x40c8, ASR = 0x4108, ROR = 0x41c8, ADC = 0x4148, SBC = 0x4188; // r0, r1
  const table = [
    ['lsl by 0', LSL, 5, 0, 1, 5, true], ['lsl by 32', LSL, 1, 32, 0, 0, true], ['lsl by 33', LSL, 0xffffffff, 33, 1, 0, false],
    ['lsr by 0', LSR, 0x80000000, 0, 0, 0x80000000, false], ['lsr by 32', LSR, 0x80000000, 32, 0, 0, true],
    ['lsr by 33', LSR, 0xffffffff, 33, 1, 0, false],
    ['asr by 0', ASR, 0x80000000, 0, 1, 0x80000000, true], ['asr by 32', ASR, 0x80000000, 32, 0, 0xffffffff, true],
    ['asr by 255', ASR, 0x7fffffff, 255, 1, 0, false],
    ['ror by 0', ROR, 0x80000000, 0, 0, 0x80000000, false], ['ror by 32', ROR, 0x80000001, 32, 0, 0x80000001, true],
    ['adc at the sign', ADC, 0x7fffffff, 0, 1, 0x80000000, false, true], ['adc carry', ADC, 0xffffffff, 0, 1, 0, true, false],
    ['sbc at the sign', SBC, 0xaba0a9bf, 0x7fffffff, 0, 0x2ba0a9bf, true, true], ['sbc', SBC, 5, 7, 1, 0xfffffffe, false, false],
  ];
  for (const [name, opcode, r0, r1, carry, result, c, v] of table) {
    const { core } = ours;
    ours.sramView.setUint16(0x8000, opcode, true);
    core.registers.set([r0, r1]);
    core.registers[15] = RAM + 0x8000;
    core.C = Boolean(carry);
    run(1);
    if (core.registers[0] !== result || core.C !== c || (v !== undefined && core.V !== v)
        || core.N !== result > 0x7fffffff || core.Z !== (result === 0)) {
      console.log(`${name}: ${core.registers[0].toString(16)} N=${core.N} Z=${core.Z} C=${core.C} V=${core.V}`);
      process.exit(1);
    }
    compared += 1;
  }
  ours.sramView.setUint16(0x8000, BLX_LR, true);
  ours.core.registers[14] = RAM + 0x1001;
  ours.core.registers[15] = RAM + 0x8000;
  run(1);
  if (ours.core.PC !== RAM + 0x1000 || ours.core.LR !== RAM + 0x8003) {
    console.log(`blx lr: pc ${ours.core.PC.toString(16)} lr ${ours.core.LR.toString(16)}`);
    process.exit(1);
  }
}

/** MicroPython's boot, with exceptions, peripherals and the boot ROM's routines. */
function boot(instructions) {
  const image = fs.readFileSync(imagePath);
  const chips = [makeChip(), makeChip()];
  for (const mcu of chips) {
    mcu.flash.set(image);
    attachFlash(mcu, BasePeripheral, 0x200000);
    new USBCDC(mcu.usbCtrl); // eslint-disable-line no-new
    mcu.core.PC = 0x10000000;
  }
  const [mine, other] = chips;
  run = makeRunner(mine, () => false);
  for (let n = 0; n < instructions; n++) {
    if (mine.core.waiting !== other.core.waiting) throw new Error(`only one waits at ${n}`);
    if (mine.core.waiting) {
      for (const { clock } of chips) clock.tick(clock.nextAlarm ? clock.nanosToNextAlarm : 1000);
      continue;
    }
    run(1);
    const nanos = 1e9 / other.clkSys;
    other.clock.tick(other.core.executeInstruction() * nanos);
    const [a, b] = [mine, other].map(({ core }) => core);
    b.PC &= ~1; // rp2040js keeps the lowest bit of an exception's vector
    if (a.PC !== b.PC || a.cycles !== b.cycles || mine.clock.nanos !== other.clock.nanos || a.xPSR !== b.xPSR
        || a.registers.some((register, i) => register !== b.registers[i])) {
      console.log(`boot, instruction ${n}\n ours   ${state(mine)}\n theirs ${state(other)}`);
      process.exit(1);
    }
    compared += 1;
  }
}

randomInstructions(300000);
exceptions();
boot(600000);
console.log(`same: ${compared}`);
