// What is at the other end of UART0's wires: bytes at the rate that the board has set, and no flow control but that the
// receiver's FIFO is never overrun here.

const TX_INTERRUPT = 0x20;
const BITS = 10; // of a byte on the wire

export class UartHost {
  /** `onBytes(bytes)` gets what the board sends. */
  constructor(mcu, onBytes) {
    this.uart = mcu.uart[0];
    this.waiting = []; // chunks for the board
    this.uart.onByte = (byte) => onBytes(Uint8Array.of(byte));
    // rp2040js sends at once and so has always room; as an interrupt this would never end.
    this.uart.checkInterrupts = () => {
      const { interruptStatus, interruptMask, irq } = this.uart;
      mcu.setInterrupt(irq, (interruptStatus & interruptMask & ~TX_INTERRUPT) !== 0);
    };
    this.byte = mcu.clock.createAlarm(() => this.#receive());
  }

  /** Bytes that the board has not taken. */
  get pending() {
    return this.waiting.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  send(bytes) {
    this.waiting.push(bytes);
    this.#next();
  }

  #next() {
    if (this.waiting.length && !this.byte.scheduled) this.byte.schedule(BITS * 1e9 / (this.uart.baudRate || 115200));
  }

  #receive() {
    this.byte.scheduled = false; // rp2040js leaves it set
    const { uart } = this;
    if (uart.enabled && !uart.rxFIFO.full) {
      uart.feedByte(this.waiting[0][0]);
      this.waiting[0] = this.waiting[0].subarray(1);
      if (!this.waiting[0].length) this.waiting.shift();
    }
    this.#next();
  }
}
