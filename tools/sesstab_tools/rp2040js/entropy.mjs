// The ring oscillator's random bit, the source of all of MicroPython's randomness on an RP2040 (os.urandom, Mbed TLS). In
// rp2040js it is the constant 1, which would make every key the same; here it comes from this computer's generator.
import { randomFillSync } from 'node:crypto';

// Datasheet 2.17.8
const STATUS = 0x18, RANDOMBIT = 0x1c;
const STATUS_STABLE_AND_ENABLED = 0x80001000;

/** Replaces the ring oscillator of `mcu`, an RP2040 of rp2040js whose BasePeripheral is given. */
export function attachEntropy(mcu, BasePeripheral) {
  class RingOscillator extends BasePeripheral {
    registers = new Map();
    bytes = new Uint8Array(1024);
    position = Infinity; // in bits

    readUint32(offset) {
      if (offset === RANDOMBIT) return this.#bit();
      return offset === STATUS ? STATUS_STABLE_AND_ENABLED : this.registers.get(offset) ?? 0;
    }

    writeUint32(offset, value) {
      this.registers.set(offset, value >>> 0);
    }

    #bit() {
      if (this.position >= 8 * this.bytes.length) {
        randomFillSync(this.bytes);
        this.position = 0;
      }
      const bit = (this.bytes[this.position >> 3] >> (this.position & 7)) & 1;
      this.position += 1;
      return bit;
    }
  }

  mcu.peripherals[0x40060] = new RingOscillator(mcu, 'ROSC');
}
