// A beep for a new alarm, if the dispatcher wants it: higher and twice for danger to people.

export class Sound {
  private context: AudioContext | null = null;

  /** Turns the sound on or off; a browser allows it only upon a click. */
  toggle(): boolean {
    if (this.context) {
      void this.context.close();
      this.context = null;
      return false;
    }
    this.context = new AudioContext();
    this.beep(3);
    return true;
  }

  /** Sounds for an alarm of a priority. */
  beep(priority: number): void {
    if (!this.context) return;
    const pitch = priority === 1 ? 1046 : priority === 2 ? 784 : 523;
    for (let i = 0; i < (priority === 1 ? 2 : 1); i++) this.tone(this.context, pitch, i * 0.25);
  }

  private tone(c: AudioContext, pitch: number, after: number): void {
    const from = c.currentTime + after;
    const gain = c.createGain();
    gain.gain.setValueAtTime(0.0001, from);
    gain.gain.exponentialRampToValueAtTime(0.2, from + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.0001, from + 0.18);
    const tone = c.createOscillator();
    tone.frequency.value = pitch;
    tone.connect(gain).connect(c.destination);
    tone.start(from);
    tone.stop(from + 0.2);
  }
}
