// Runs the instructions of rp2040js's Cortex-M0+ about four times as fast as its own executeInstruction(), which looks for
// each instruction through a chain of comparisons. Here a table tells from the opcode what it is; registers and flags stay
// in local variables; RAM, flash and boot ROM are read without a detour. What is rare (exceptions, special registers,
// barriers, waiting) and every access to a peripheral is left to rp2040js, which has the state by then.
//
// Cycles are counted as rp2040js counts them. Results are ARM's (ARMv6-M manual), also where rp2040js's differ: the carry
// of shifts by a register that is 0 or above 32, the overflow of ADCS and SBCS, and BLX LR.
// host_tests/host/rp2040_cores.mjs compares the two.

/* eslint-disable no-multi-spaces */
const NAMES = `rare
  lsl lsr asr addReg subReg add3 sub3 mov8 cmp8 add8 sub8
  and eor lslReg lsrReg asrReg adc sbc ror tst neg cmp cmn orr mul bic mvn
  addHigh cmpHigh movHigh movPc bx blx
  ldrPc strReg strhReg strbReg ldrsb ldrReg ldrhReg ldrbReg ldrsh
  str ldr strb ldrb strh ldrh strSp ldrSp adr addSp growSp shrinkSp
  sxth sxtb uxth uxtb rev push pop stm ldm
  beq bne bcs bcc bmi bpl bvs bvc bhi bls bge blt bgt ble b bl`.split(/\s+/);
const KIND = Object.fromEntries(NAMES.map((name, index) => [name, index]));

const SHIFT_ADD_SUB = ['lsl', 'lsr', 'asr'];
const IMMEDIATE = ['mov8', 'cmp8', 'add8', 'sub8'];
const DATA = ['and', 'eor', 'lslReg', 'lsrReg', 'asrReg', 'adc', 'sbc', 'ror',
  'tst', 'neg', 'cmp', 'cmn', 'orr', 'mul', 'bic', 'mvn'];
const BY_REGISTER = ['strReg', 'strhReg', 'strbReg', 'ldrsb', 'ldrReg', 'ldrhReg', 'ldrbReg', 'ldrsh'];
const BY_OFFSET = ['str', 'ldr', 'strb', 'ldrb', 'strh', 'ldrh', 'strSp', 'ldrSp'];
const EXTEND = ['sxth', 'sxtb', 'uxth', 'uxtb'];
const CONDITION = ['beq', 'bne', 'bcs', 'bcc', 'bmi', 'bpl', 'bvs', 'bvc', 'bhi', 'bls', 'bge', 'blt', 'bgt', 'ble'];

/** The name of what an opcode is; "rare" for what rp2040js does. */
export function decode(opcode) {
  const top = opcode >> 11;
  if (top < 3) return SHIFT_ADD_SUB[top];
  if (top === 3) return ['addReg', 'subReg', 'add3', 'sub3'][(opcode >> 9) & 3];
  if (top < 8) return IMMEDIATE[top - 4];
  if (opcode >> 10 === 0x10) return DATA[(opcode >> 6) & 15];
  if (opcode >> 10 === 0x11) return decodeHigh(opcode);
  if (top === 9) return 'ldrPc';
  if (opcode >> 12 === 5) return BY_REGISTER[(opcode >> 9) & 7];
  if (top < 20) return BY_OFFSET[top - 12];
  if (top === 20) return 'adr';
  if (top === 21) return 'addSp';
  if (opcode >> 8 === 0xb0) return opcode & 0x80 ? 'growSp' : 'shrinkSp';
  if (opcode >> 8 === 0xb2) return EXTEND[(opcode >> 6) & 3];
  if (opcode >> 9 === 0x5a) return 'push';
  if (opcode >> 9 === 0x5e) return 'pop';
  if (opcode >> 6 === 0x2e8) return 'rev';
  if (top === 24) return 'stm';
  if (top === 25) return 'ldm';
  if (opcode >> 12 === 13) return CONDITION[(opcode >> 8) & 15] ?? 'rare';
  if (top === 28) return 'b';
  if (top === 30) return 'bl';
  return 'rare';
}

function decodeHigh(opcode) {
  const to = ((opcode >> 4) & 8) | (opcode & 7);
  const from = (opcode >> 3) & 15;
  switch ((opcode >> 8) & 3) {
    case 0: return to === 13 || to === 15 || from === 15 ? 'rare' : 'addHigh';
    case 1: return to === 15 || from === 15 ? 'rare' : 'cmpHigh';
    case 2: return from === 15 || to === 13 ? 'rare' : to === 15 ? 'movPc' : 'movHigh';
    default: return from === 15 || opcode & 7 ? 'rare' : opcode & 0x80 ? 'blx' : 'bx';
  }
}

const KINDS = Uint8Array.from({ length: 65536 }, (_, opcode) => KIND[decode(opcode)]);

const { rare: RARE, bx: BX, pop: POP, stm: STM, ldm: LDM } = KIND;
const RAM = 0x20000000, RAM_SIZE = 0x42000;
const ROM_SIZE = 0x4000;
const FLASH_MASK = 0xffffff;

/**
 * A function run(cycles) for `mcu`, an RP2040 of rp2040js: executes instructions, and advances its clock, for about that many
 * cycles; returns earlier when the core waits, or when halted() is true.
 */
export function makeRunner(mcu, halted) {
  const { core, clock } = mcu;
  const r = new Int32Array(core.registers.buffer);
  const ram8 = mcu.sram, flash8 = mcu.flash;
  const ram16 = new Uint16Array(ram8.buffer), ram32 = new Int32Array(ram8.buffer);
  const flash16 = mcu.flash16, flash32 = new Int32Array(flash8.buffer);
  const rom16 = new Uint16Array(mcu.bootrom.buffer), rom32 = new Int32Array(mcu.bootrom.buffer);

  let passed = 0; // cycles that the core and the clock have not been told of
  let nanos = 8; // of a cycle
  let leave = false; // the next alarm may be another, or the core waits

  function tell() {
    core.cycles += passed;
    clock.nanosCounter += passed * nanos;
    passed = 0;
  }

  /** Before an access to a peripheral: for it, the time is when the instruction began. */
  function meet() {
    passed -= 1;
    tell();
    passed = 1;
    leave = true;
  }

  /** The cycles that an access to a peripheral takes beyond the instruction's one. */
  function extra(address, write) {
    if (address >>> 28 === 0xd) return 0;
    if (address >>> 28 === 4) return write ? 4 : 3;
    return 1;
  }

  // Each adds what the access takes to `passed`.
  function load32(address) {
    const offset = (address - RAM) >>> 0;
    if ((address & 3) === 0) {
      if (offset < RAM_SIZE) { passed += 1; return ram32[offset >> 2]; }
      if (address >>> 26 === 4) { passed += 1; return flash32[(address & FLASH_MASK) >> 2]; }
      if (address >>> 0 < ROM_SIZE) { passed += 1; return rom32[address >> 2]; }
    }
    meet();
    const value = mcu.readUint32(address >>> 0) | 0;
    passed += extra(address, false);
    return value;
  }

  function load16(address) {
    const offset = (address - RAM) >>> 0;
    if ((address & 1) === 0) {
      if (offset < RAM_SIZE) { passed += 1; return ram16[offset >> 1]; }
      if (address >>> 26 === 4) { passed += 1; return flash16[(address & FLASH_MASK) >> 1]; }
    }
    meet();
    const value = mcu.readUint16(address >>> 0) & 0xffff;
    passed += extra(address, false);
    return value;
  }

  function load8(address) {
    const offset = (address - RAM) >>> 0;
    if (offset < RAM_SIZE) { passed += 1; return ram8[offset]; }
    if (address >>> 26 === 4) { passed += 1; return flash8[address & FLASH_MASK]; }
    meet();
    const value = mcu.readUint8(address >>> 0) & 0xff;
    passed += extra(address, false);
    return value;
  }

  function store32(address, value) {
    const offset = (address - RAM) >>> 0;
    if (offset < RAM_SIZE && (address & 3) === 0) { passed += 1; ram32[offset >> 2] = value; return; }
    meet();
    mcu.writeUint32(address >>> 0, value >>> 0);
    passed += extra(address, true);
  }

  function store16(address, value) {
    const offset = (address - RAM) >>> 0;
    if (offset < RAM_SIZE && (address & 1) === 0) { passed += 1; ram16[offset >> 1] = value; return; }
    meet();
    mcu.writeUint16(address >>> 0, value >>> 0);
    passed += extra(address, true);
  }

  function store8(address, value) {
    const offset = (address - RAM) >>> 0;
    if (offset < RAM_SIZE) { passed += 1; ram8[offset] = value; return; }
    meet();
    mcu.writeUint8(address >>> 0, value >>> 0);
    passed += extra(address, true);
  }

  /** The return from an exception is rare, whatever does it, and so are several accesses to peripherals at once. */
  function isRare(kind, op) {
    if (kind === BX) return r[(op >> 3) & 15] >>> 28 === 15;
    if (kind !== POP) return r[(op >> 8) & 7] >>> 28 > 3;
    let address = r[13];
    for (let bits = op & 0xff; bits; bits &= bits - 1) address += 4;
    return (op & 0x100) !== 0 && ram32[(address - RAM) >>> 2] >>> 28 === 15;
  }

  /** Until `limit` cycles have passed since the clock was told, or there is reason to leave. */
  function execute(limit) {
    let pc = r[15];
    let nz = core.Z ? 0 : core.N ? -1 : 1; // a result: its sign is N, and that it is 0 is Z
    let c = core.C ? 1 : 0;
    let v = core.V ? 1 : 0;
    leave = false;
    passed = 0;
    while (passed < limit && !leave) {
      if (core.interruptsUpdated) {
        tell();
        r[15] = pc;
        core.N = nz < 0; core.Z = nz === 0; core.C = c !== 0; core.V = v !== 0;
        if (core.checkForInterrupts()) {
          pc = r[15];
          core.waiting = false;
        }
        leave = true;
      }
      pc &= ~1;
      const region = pc >>> 28;
      const op = region === 1 ? flash16[(pc & FLASH_MASK) >> 1]
        : region === 2 ? ram16[(pc - RAM) >> 1]
          : rom16[pc >> 1];
      let kind = KINDS[op];
      if ((kind === BX || kind === POP || kind === STM || kind === LDM) && isRare(kind, op)) kind = RARE;
      passed += 1;
      pc = (pc + 2) | 0;
      switch (kind) {
        case 1: /* lsl */ {
          const x = r[(op >> 3) & 7], n = (op >> 6) & 31;
          if (n) c = (x >>> (32 - n)) & 1;
          nz = r[op & 7] = x << n;
          break;
        }
        case 2: /* lsr */ {
          const x = r[(op >> 3) & 7], n = (op >> 6) & 31;
          c = n ? (x >>> (n - 1)) & 1 : x >>> 31;
          nz = r[op & 7] = n ? (x >>> n) | 0 : 0;
          break;
        }
        case 3: /* asr */ {
          const x = r[(op >> 3) & 7], n = (op >> 6) & 31;
          c = n ? (x >> (n - 1)) & 1 : x >>> 31;
          nz = r[op & 7] = n ? x >> n : x >> 31;
          break;
        }
        case 4: /* addReg */ {
          const x = r[(op >> 3) & 7], y = r[(op >> 6) & 7];
          nz = r[op & 7] = (x + y) | 0;
          c = nz >>> 0 < x >>> 0 ? 1 : 0;
          v = (~(x ^ y) & (x ^ nz)) >>> 31;
          break;
        }
        case 5: /* subReg */ {
          const x = r[(op >> 3) & 7], y = r[(op >> 6) & 7];
          nz = r[op & 7] = (x - y) | 0;
          c = x >>> 0 >= y >>> 0 ? 1 : 0;
          v = ((x ^ y) & (x ^ nz)) >>> 31;
          break;
        }
        case 6: /* add3 */ {
          const x = r[(op >> 3) & 7], y = (op >> 6) & 7;
          nz = r[op & 7] = (x + y) | 0;
          c = nz >>> 0 < x >>> 0 ? 1 : 0;
          v = (~(x ^ y) & (x ^ nz)) >>> 31;
          break;
        }
        case 7: /* sub3 */ {
          const x = r[(op >> 3) & 7], y = (op >> 6) & 7;
          nz = r[op & 7] = (x - y) | 0;
          c = x >>> 0 >= y ? 1 : 0;
          v = ((x ^ y) & (x ^ nz)) >>> 31;
          break;
        }
        case 8: /* mov8 */
          nz = r[(op >> 8) & 7] = op & 0xff;
          break;
        case 9: /* cmp8 */ {
          const x = r[(op >> 8) & 7], y = op & 0xff;
          nz = (x - y) | 0;
          c = x >>> 0 >= y ? 1 : 0;
          v = ((x ^ y) & (x ^ nz)) >>> 31;
          break;
        }
        case 10: /* add8 */ {
          const d = (op >> 8) & 7, x = r[d], y = op & 0xff;
          nz = r[d] = (x + y) | 0;
          c = nz >>> 0 < x >>> 0 ? 1 : 0;
          v = (~(x ^ y) & (x ^ nz)) >>> 31;
          break;
        }
        case 11: /* sub8 */ {
          const d = (op >> 8) & 7, x = r[d], y = op & 0xff;
          nz = r[d] = (x - y) | 0;
          c = x >>> 0 >= y ? 1 : 0;
          v = ((x ^ y) & (x ^ nz)) >>> 31;
          break;
        }
        case 12: /* and */ nz = r[op & 7] &= r[(op >> 3) & 7]; break;
        case 13: /* eor */ nz = r[op & 7] ^= r[(op >> 3) & 7]; break;
        case 24: /* orr */ nz = r[op & 7] |= r[(op >> 3) & 7]; break;
        case 26: /* bic */ nz = r[op & 7] &= ~r[(op >> 3) & 7]; break;
        case 27: /* mvn */ nz = r[op & 7] = ~r[(op >> 3) & 7]; break;
        case 20: /* tst */ nz = r[op & 7] & r[(op >> 3) & 7]; break;
        case 25: /* mul */ nz = r[op & 7] = Math.imul(r[op & 7], r[(op >> 3) & 7]); break;
        case 14: /* lslReg */ {
          const d = op & 7, x = r[d], n = r[(op >> 3) & 7] & 0xff;
          if (n) c = n <= 32 ? (x >>> (32 - n)) & 1 : 0;
          nz = r[d] = n < 32 ? x << n : 0;
          break;
        }
        case 15: /* lsrReg */ {
          const d = op & 7, x = r[d], n = r[(op >> 3) & 7] & 0xff;
          if (n) c = n <= 32 ? (x >>> (n - 1)) & 1 : 0;
          nz = r[d] = n < 32 ? (x >>> n) | 0 : 0;
          break;
        }
        case 16: /* asrReg */ {
          const d = op & 7, x = r[d], n = r[(op >> 3) & 7] & 0xff;
          if (n) c = n < 32 ? (x >> (n - 1)) & 1 : x >>> 31;
          nz = r[d] = x >> (n < 32 ? n : 31);
          break;
        }
        case 19: /* ror */ {
          const d = op & 7, x = r[d], n = r[(op >> 3) & 7] & 0xff;
          nz = r[d] = (x >>> (n & 31)) | (x << ((32 - n) & 31));
          if (n) c = nz >>> 31;
          break;
        }
        case 17: /* adc */ {
          const d = op & 7, x = r[d], y = r[(op >> 3) & 7];
          const sum = (x >>> 0) + (y >>> 0) + c;
          nz = r[d] = sum | 0;
          c = sum > 0xffffffff ? 1 : 0;
          v = (~(x ^ y) & (x ^ nz)) >>> 31;
          break;
        }
        case 18: /* sbc */ {
          const d = op & 7, x = r[d], y = r[(op >> 3) & 7];
          const difference = (x >>> 0) - (y >>> 0) - (1 - c);
          nz = r[d] = difference | 0;
          c = difference >= 0 ? 1 : 0;
          v = ((x ^ y) & (x ^ nz)) >>> 31;
          break;
        }
        case 21: /* neg */ {
          const y = r[(op >> 3) & 7];
          nz = r[op & 7] = (0 - y) | 0;
          c = y === 0 ? 1 : 0;
          v = (y & nz) >>> 31;
          break;
        }
        case 22: /* cmp */ {
          const x = r[op & 7], y = r[(op >> 3) & 7];
          nz = (x - y) | 0;
          c = x >>> 0 >= y >>> 0 ? 1 : 0;
          v = ((x ^ y) & (x ^ nz)) >>> 31;
          break;
        }
        case 23: /* cmn */ {
          const x = r[op & 7], y = r[(op >> 3) & 7];
          nz = (x + y) | 0;
          c = nz >>> 0 < x >>> 0 ? 1 : 0;
          v = (~(x ^ y) & (x ^ nz)) >>> 31;
          break;
        }
        case 28: /* addHigh */ {
          const d = ((op >> 4) & 8) | (op & 7);
          r[d] = (r[d] + r[(op >> 3) & 15]) | 0;
          break;
        }
        case 29: /* cmpHigh */ {
          const x = r[((op >> 4) & 8) | (op & 7)], y = r[(op >> 3) & 15];
          nz = (x - y) | 0;
          c = x >>> 0 >= y >>> 0 ? 1 : 0;
          v = ((x ^ y) & (x ^ nz)) >>> 31;
          break;
        }
        case 30: /* movHigh */ r[((op >> 4) & 8) | (op & 7)] = r[(op >> 3) & 15]; break;
        case 31: /* movPc */
        case 32: /* bx */
          pc = r[(op >> 3) & 15] & ~1;
          passed += 1;
          break;
        case 33: /* blx */ {
          const target = r[(op >> 3) & 15] & ~1;
          r[14] = pc | 1;
          pc = target;
          passed += 1;
          break;
        }
        case 34: /* ldrPc */ r[(op >> 8) & 7] = load32((((pc + 2) & ~3) + ((op & 0xff) << 2)) | 0); break;
        case 35: /* strReg */ store32((r[(op >> 6) & 7] + r[(op >> 3) & 7]) | 0, r[op & 7]); break;
        case 36: /* strhReg */ store16((r[(op >> 6) & 7] + r[(op >> 3) & 7]) | 0, r[op & 7]); break;
        case 37: /* strbReg */ store8((r[(op >> 6) & 7] + r[(op >> 3) & 7]) | 0, r[op & 7]); break;
        case 39: /* ldrReg */ r[op & 7] = load32((r[(op >> 6) & 7] + r[(op >> 3) & 7]) | 0); break;
        case 40: /* ldrhReg */ r[op & 7] = load16((r[(op >> 6) & 7] + r[(op >> 3) & 7]) | 0); break;
        case 41: /* ldrbReg */ r[op & 7] = load8((r[(op >> 6) & 7] + r[(op >> 3) & 7]) | 0); break;
        case 38: /* ldrsb */ r[op & 7] = (load8((r[(op >> 6) & 7] + r[(op >> 3) & 7]) | 0) << 24) >> 24; break;
        case 42: /* ldrsh */ r[op & 7] = (load16((r[(op >> 6) & 7] + r[(op >> 3) & 7]) | 0) << 16) >> 16; break;
        case 43: /* str */ store32((r[(op >> 3) & 7] + ((op >> 4) & 0x7c)) | 0, r[op & 7]); break;
        case 44: /* ldr */ r[op & 7] = load32((r[(op >> 3) & 7] + ((op >> 4) & 0x7c)) | 0); break;
        case 45: /* strb */ store8((r[(op >> 3) & 7] + ((op >> 6) & 31)) | 0, r[op & 7]); break;
        case 46: /* ldrb */ r[op & 7] = load8((r[(op >> 3) & 7] + ((op >> 6) & 31)) | 0); break;
        case 47: /* strh */ store16((r[(op >> 3) & 7] + ((op >> 5) & 0x3e)) | 0, r[op & 7]); break;
        case 48: /* ldrh */ r[op & 7] = load16((r[(op >> 3) & 7] + ((op >> 5) & 0x3e)) | 0); break;
        case 49: /* strSp */ store32((r[13] + ((op & 0xff) << 2)) | 0, r[(op >> 8) & 7]); break;
        case 50: /* ldrSp */ r[(op >> 8) & 7] = load32((r[13] + ((op & 0xff) << 2)) | 0); break;
        case 51: /* adr */ r[(op >> 8) & 7] = (((pc + 2) & ~3) + ((op & 0xff) << 2)) | 0; break;
        case 52: /* addSp */ r[(op >> 8) & 7] = (r[13] + ((op & 0xff) << 2)) | 0; break;
        case 54: /* shrinkSp */ r[13] = (r[13] + ((op & 0x7f) << 2)) | 0; break;
        case 53: /* growSp */ r[13] = (r[13] - ((op & 0x7f) << 2)) | 0; break;
        case 55: /* sxth */ r[op & 7] = (r[(op >> 3) & 7] << 16) >> 16; break;
        case 56: /* sxtb */ r[op & 7] = (r[(op >> 3) & 7] << 24) >> 24; break;
        case 57: /* uxth */ r[op & 7] = r[(op >> 3) & 7] & 0xffff; break;
        case 58: /* uxtb */ r[op & 7] = r[(op >> 3) & 7] & 0xff; break;
        case 59: /* rev */ {
          const x = r[(op >> 3) & 7];
          r[op & 7] = (x << 24) | ((x & 0xff00) << 8) | ((x >>> 8) & 0xff00) | (x >>> 24);
          break;
        }
        case 60: /* push */ {
          let count = (op >> 8) & 1;
          for (let bits = op & 0xff; bits; bits &= bits - 1) count += 1;
          let address = (r[13] - 4 * count) | 0;
          r[13] = address;
          for (let i = 0; i < 8; i++) {
            if (op & (1 << i)) {
              store32(address, r[i]);
              address = (address + 4) | 0;
            }
          }
          if (op & 0x100) {
            store32(address, r[14]);
            passed -= 1; // rp2040js does not count it
          }
          break;
        }
        case 61: /* pop */ {
          let address = r[13];
          for (let i = 0; i < 8; i++) {
            if (op & (1 << i)) {
              r[i] = load32(address);
              address = (address + 4) | 0;
            }
          }
          if (op & 0x100) {
            pc = load32(address) & ~1;
            address = (address + 4) | 0;
            passed += 1;
          }
          r[13] = address;
          break;
        }
        case 62: /* stm */ {
          const n = (op >> 8) & 7;
          let address = r[n];
          for (let i = 0; i < 8; i++) {
            if (op & (1 << i)) {
              store32(address, r[i]);
              address = (address + 4) | 0;
            }
          }
          if (!(op & (1 << n))) r[n] = address;
          break;
        }
        case 63: /* ldm */ {
          const n = (op >> 8) & 7;
          let address = r[n];
          for (let i = 0; i < 8; i++) {
            if (op & (1 << i)) {
              r[i] = load32(address);
              address = (address + 4) | 0;
            }
          }
          if (!(op & (1 << n))) r[n] = address;
          break;
        }
        case 64: /* beq */ if (nz === 0) { pc = (pc + 2 + ((op << 24) >> 23)) | 0; passed += 1; } break;
        case 65: /* bne */ if (nz !== 0) { pc = (pc + 2 + ((op << 24) >> 23)) | 0; passed += 1; } break;
        case 66: /* bcs */ if (c) { pc = (pc + 2 + ((op << 24) >> 23)) | 0; passed += 1; } break;
        case 67: /* bcc */ if (!c) { pc = (pc + 2 + ((op << 24) >> 23)) | 0; passed += 1; } break;
        case 68: /* bmi */ if (nz < 0) { pc = (pc + 2 + ((op << 24) >> 23)) | 0; passed += 1; } break;
        case 69: /* bpl */ if (nz >= 0) { pc = (pc + 2 + ((op << 24) >> 23)) | 0; passed += 1; } break;
        case 70: /* bvs */ if (v) { pc = (pc + 2 + ((op << 24) >> 23)) | 0; passed += 1; } break;
        case 71: /* bvc */ if (!v) { pc = (pc + 2 + ((op << 24) >> 23)) | 0; passed += 1; } break;
        case 72: /* bhi */ if (c && nz !== 0) { pc = (pc + 2 + ((op << 24) >> 23)) | 0; passed += 1; } break;
        case 73: /* bls */ if (!c || nz === 0) { pc = (pc + 2 + ((op << 24) >> 23)) | 0; passed += 1; } break;
        case 74: /* bge */ if (nz >>> 31 === v) { pc = (pc + 2 + ((op << 24) >> 23)) | 0; passed += 1; } break;
        case 75: /* blt */ if (nz >>> 31 !== v) { pc = (pc + 2 + ((op << 24) >> 23)) | 0; passed += 1; } break;
        case 76: /* bgt */ if (nz !== 0 && nz >>> 31 === v) { pc = (pc + 2 + ((op << 24) >> 23)) | 0; passed += 1; } break;
        case 77: /* ble */ if (nz === 0 || nz >>> 31 !== v) { pc = (pc + 2 + ((op << 24) >> 23)) | 0; passed += 1; } break;
        case 78: /* b */
          pc = (pc + 2 + ((op << 21) >> 20)) | 0;
          passed += 1;
          break;
        case 79: /* bl */ {
          const low = region === 1 ? flash16[(pc & FLASH_MASK) >> 1]
            : region === 2 ? ram16[(pc - RAM) >> 1]
              : rom16[pc >> 1];
          if ((low & 0xd000) === 0xd000) {
            const sign = (op << 21) >> 31;
            const high = ~((low >> 13) ^ sign) & 1, middle = ~((low >> 11) ^ sign) & 1;
            r[14] = (pc + 2) | 1;
            pc = (pc + 2 + ((sign << 24) | (high << 23) | (middle << 22) | ((op & 0x3ff) << 12) | ((low & 0x7ff) << 1))) | 0;
            passed += 2;
            break;
          }
        } // else it is rare
        default: { // eslint-disable-line no-fallthrough
          passed -= 1;
          tell();
          r[15] = (pc - 2) | 0;
          core.N = nz < 0; core.Z = nz === 0; core.C = c !== 0; core.V = v !== 0;
          passed = core.executeInstruction();
          core.cycles -= passed;
          pc = r[15];
          nz = core.Z ? 0 : core.N ? -1 : 1;
          c = core.C ? 1 : 0;
          v = core.V ? 1 : 0;
          leave = true;
        }
      }
    }
    r[15] = pc;
    core.N = nz < 0; core.Z = nz === 0; core.C = c !== 0; core.V = v !== 0;
    core.cycles += passed;
  }

  return function run(cycles) {
    const end = core.cycles + cycles;
    while (core.cycles < end && !core.waiting && !halted()) {
      nanos = 1e9 / mcu.clkSys;
      const alarm = clock.nextAlarm;
      const left = end - core.cycles;
      execute(alarm === null ? left : Math.min(left, Math.max(1, Math.ceil((alarm.nanos - clock.nanosCounter) / nanos))));
      clock.tick(passed * nanos);
    }
  };
}
