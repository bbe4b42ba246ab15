// A browser needs a good tenth of a second to gather its addresses. An offer is therefore made while a person still reads the
// alarm; it names no camera and asks nobody for anything until it is sent.

const gatherLimit = 2000;
const freshFor = 300_000; // addresses change when a cable is moved

export class Offer {
  readonly connection = new RTCPeerConnection();
  /** The complete description, addresses included. */
  readonly text: Promise<string>;
  private readonly born = performance.now();

  constructor() {
    this.connection.addTransceiver("video", { direction: "recvonly" });
    this.text = this.make();
    this.text.catch(() => undefined); // whoever sends it is told
  }

  get fresh(): boolean {
    return performance.now() - this.born < freshFor;
  }

  private async make(): Promise<string> {
    const pc = this.connection;
    await pc.setLocalDescription(await pc.createOffer());
    await gathered(pc);
    return pc.localDescription!.sdp;
  }
}

function gathered(pc: RTCPeerConnection): Promise<void> {
  return new Promise((resolve) => {
    if (pc.iceGatheringState === "complete") return resolve();
    pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && resolve());
    setTimeout(resolve, gatherLimit);
  });
}
