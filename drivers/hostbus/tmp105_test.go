package hostbus

import (
	"encoding/binary"
	"os"
	"testing"
	"time"
)

// TestThermometer talks with a TMP105 that a guest's board carries at address 48 hex, and that somebody outside warms to
// 42.5 °C meanwhile. Registers and scale are those of its data sheet (SBOS648C §7.5): 0 is the temperature, 2 and 3 are its limits,
// 12 bits of 1/16 °C each, left-aligned, most significant byte first; power-on limits are 75 and 80 °C.
func TestThermometer(t *testing.T) {
	const variable, address = "WATCHPOST_TMP105", 0x48
	device := os.Getenv(variable)
	if device == "" {
		t.Skipf("no thermometer here: %s is not set", variable)
	}
	b, err := OpenI2C(device)
	must(t, err)
	t.Cleanup(func() { must(t, b.Close()) })
	read := func(register byte) uint16 {
		t.Helper()
		var word [2]byte
		must(t, b.Tx(address, []byte{register}, word[:]))
		return binary.BigEndian.Uint16(word[:])
	}
	if low, high := read(2), read(3); low != 75<<8 || high != 80<<8 {
		t.Errorf("limits %#x and %#x, want 75 and 80 degrees", low, high)
	}
	must(t, b.Tx(address, []byte{2, 0x1a, 0x80}, nil))
	if low := read(2); low != 0x1a80 {
		t.Errorf("the lower limit is %#x after 26.5 degrees were written", low)
	}
	if err := b.Tx(address+1, []byte{0}, make([]byte, 2)); err == nil {
		t.Error("an address without a chip answered")
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for range 600 {
		if read(0) == 42<<8|0x80 {
			t.Logf("thermometer at 42.5")
			return
		}
		<-again.C
	}
	t.Errorf("the thermometer says %#x, want 42.5 degrees", read(0))
}
