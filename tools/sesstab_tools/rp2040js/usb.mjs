// The host at the other end of the board's USB: it enumerates the device, opens its CDC port (DTR), and carries bytes.
//
// rp2040js's own USBCDC enumerates. It answers each transfer that the board offers to receive at once, with no bytes if
// there are none, which the board takes as a packet and offers the next: a storm that costs most of the time. Here such a
// transfer waits until there are bytes, as a real host's would. And the frame counter's interrupt (SOF), which rp2040js
// lacks, comes each millisecond while the board has it enabled: MicroPython sends its banner 16 frames after DTR.

const FRAME = 1e6; // nanoseconds
const SOF_RD = 0x48, INTE = 0x90;
const INTR_DEV_SOF = 1 << 17;

export class UsbHost {
  /** `onBytes(bytes)` gets what the board sends. */
  constructor(mcu, USBCDC, onBytes) {
    this.controller = mcu.usbCtrl;
    this.waiting = []; // chunks for the board
    this.offered = 0; // bytes that the board would take now; 0: it has not offered
    this.cdc = new USBCDC(this.controller);
    this.cdc.onSerialData = onBytes;
    this.#carryBytes();
    this.#countFrames(mcu.clock);
  }

  /** Bytes that the board has not taken. */
  get pending() {
    return this.waiting.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  send(bytes) {
    this.waiting.push(bytes);
    this.#transfer();
  }

  #carryBytes() {
    const others = this.controller.onEndpointRead;
    this.controller.onEndpointRead = (endpoint, size) => {
      if (endpoint !== this.cdc.outEndpoint) {
        others(endpoint, size);
      } else {
        this.offered = size;
        this.#transfer();
      }
    };
  }

  #transfer() {
    const chunk = this.waiting[0];
    if (!this.offered || !chunk) return;
    const part = chunk.subarray(0, this.offered);
    this.offered = 0;
    if (part.length < chunk.length) this.waiting[0] = chunk.subarray(part.length);
    else this.waiting.shift();
    this.controller.endpointReadDone(this.cdc.outEndpoint, part);
  }

  #countFrames(clock) {
    const { controller } = this;
    const read = controller.readUint32.bind(controller);
    const write = controller.writeUint32.bind(controller);
    const frame = clock.createAlarm(() => {
      if (!(controller.intEnable & INTR_DEV_SOF)) return;
      controller.sofFrameNumber = (controller.sofFrameNumber + 1) & 0x7ff;
      controller.intRaw |= INTR_DEV_SOF;
      controller.checkInterrupts();
      frame.schedule(FRAME);
    });
    controller.readUint32 = (offset) => {
      if (offset === SOF_RD) {
        controller.intRaw &= ~INTR_DEV_SOF; // reading acknowledges
        controller.checkInterrupts();
      }
      return read(offset);
    };
    controller.writeUint32 = (offset, value) => {
      write(offset, value);
      if (offset === INTE && value & INTR_DEV_SOF && !frame.scheduled) frame.schedule(FRAME);
    };
  }
}
