// The board's flash chip: SPI NOR, as the boot ROM's routines drive it through the SSI, which rp2040js has only a stub of.
// Erasing sets a sector or block to ones, programming clears bits within a page, and both need "write enable" before.
// Reading through the address space (XIP) is rp2040js's own affair.

const PAGE = 256;
const SECTOR = 4096;
const BLOCK = 65536;
const COMMAND = {
  program: 0x02, read: 0x03, writeDisable: 0x04, status: 0x05, writeEnable: 0x06, sectorErase: 0x20,
  status2: 0x35, uniqueId: 0x4b, identify: 0x9f, blockErase: 0xd8,
};
const MANUFACTURER = [0xef, 0x40]; // Winbond's, and its kind of chip
const UNIQUE_ID = [0xe6, 0x61, 0x41, 0x04, 0x03, 0x2b, 0x21, 0x2a];

// SSI registers and values, RP2040 datasheet 4.10.13
const SSIENR = 0x08, TXFLR = 0x20, RXFLR = 0x24, SR = 0x28, IDR = 0x58, VERSION = 0x5c, DR0 = 0x60, DR_END = 0xf0;
const SR_TX_EMPTY_AND_NOT_FULL = 0x06, SR_RX_NOT_EMPTY = 0x08;
// IO_QSPI: chip select is low while the SSI sends, or forced low or high through its output override.
const SS_CTRL = 0x0c, OVERRIDE_SHIFT = 8, OVERRIDE_LOW = 2, OVERRIDE_HIGH = 3;

/** Puts the chip into `mcu`, an RP2040 of rp2040js whose BasePeripheral is given; `size` in bytes, a power of 2. */
export function attachFlash(mcu, BasePeripheral, size) {
  const chip = new FlashChip(mcu.flash.subarray(0, size));
  const selection = { forced: false };

  class SSI extends BasePeripheral {
    registers = new Map();
    received = [];

    readUint32(offset) {
      switch (offset) {
        case TXFLR: return 0;
        case RXFLR: return this.received.length;
        case SR: return SR_TX_EMPTY_AND_NOT_FULL | (this.received.length ? SR_RX_NOT_EMPTY : 0);
        case IDR: return 0x51535049;
        case VERSION: return 0x3430312a;
        case DR0: return this.received.shift() ?? 0;
        default: return this.registers.get(offset) ?? 0;
      }
    }

    writeUint32(offset, value) {
      if (offset < DR0 || offset >= DR_END) {
        this.registers.set(offset, value >>> 0);
        if (offset === SSIENR) this.received = [];
      } else if (this.registers.get(SSIENR)) {
        // All that was sent has been read: the SSI had let chip select go.
        if (!selection.forced && !this.received.length) chip.select(false);
        if (!selection.forced) chip.select(true);
        this.received.push(chip.transfer(value & 0xff));
      }
    }
  }

  class IOQSPI extends BasePeripheral {
    registers = new Map();

    readUint32(offset) {
      return this.registers.get(offset) ?? 0;
    }

    writeUint32(offset, value) {
      this.registers.set(offset, value >>> 0);
      if (offset !== SS_CTRL) return;
      const override = (value >>> OVERRIDE_SHIFT) & 3;
      selection.forced = override === OVERRIDE_LOW || override === OVERRIDE_HIGH;
      chip.select(override === OVERRIDE_LOW);
    }
  }

  mcu.peripherals[0x18000] = new SSI(mcu, 'SSI');
  mcu.peripherals[0x40018] = new IOQSPI(mcu, 'IO_QSPI');
}

/** One command at a time: select(true), transfer() for each byte, select(false), which carries it out. */
export class FlashChip {
  constructor(memory) {
    this.memory = memory;
    this.selected = false;
    this.writable = false;
    this.sent = [];
  }

  select(selected) {
    if (this.selected && !selected) this.#finish();
    if (selected !== this.selected) this.sent = [];
    this.selected = selected;
  }

  /** A byte out, a byte in. */
  transfer(byte) {
    if (!this.selected) return 0xff;
    this.sent.push(byte);
    const position = this.sent.length - 1;
    if (position === 0) return 0xff;
    switch (this.sent[0]) {
      case COMMAND.status: return this.writable ? 2 : 0;
      case COMMAND.status2: return 2; // quad mode is on
      case COMMAND.identify: return [...MANUFACTURER, Math.log2(this.memory.length)][position - 1] ?? 0;
      case COMMAND.uniqueId: return UNIQUE_ID[position - 5] ?? 0;
      case COMMAND.read: return position < 4 ? 0xff : this.memory[this.#address(position - 4)];
      default: return 0xff;
    }
  }

  #address(offset = 0) {
    const [, high, middle, low] = this.sent;
    return ((high << 16 | middle << 8 | low) + offset) % this.memory.length;
  }

  #finish() {
    const command = this.sent[0];
    if (command === COMMAND.writeEnable) {
      this.writable = true;
      return;
    }
    if (this.sent.length >= 4 && this.writable) {
      if (command === COMMAND.sectorErase) this.#erase(SECTOR);
      if (command === COMMAND.blockErase) this.#erase(BLOCK);
      if (command === COMMAND.program) this.#program();
    }
    if ([COMMAND.sectorErase, COMMAND.blockErase, COMMAND.program, COMMAND.writeDisable].includes(command)) {
      this.writable = false;
    }
  }

  #erase(size) {
    const start = this.#address() & ~(size - 1);
    this.memory.fill(0xff, start, start + size);
  }

  #program() {
    const address = this.#address();
    const page = address & ~(PAGE - 1);
    const data = this.sent.slice(4);
    // Within the page addresses wrap, and bits only ever go from 1 to 0.
    data.forEach((byte, i) => { this.memory[page | ((address + i) & (PAGE - 1))] &= byte; });
  }
}
