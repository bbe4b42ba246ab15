package modbus

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"watchpost/drivers/bus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestFrame holds the frame to the example of MODBUS over Serial Line V1.02 §6.2.2 and to another way of summing.
func TestFrame(t *testing.T) {
	if got := appendRTU(nil, 2, []byte{7}); !bytes.Equal(got, raw(t, "02 07 41 12")) {
		t.Errorf("% x", got)
	}
	rapid.Check(t, func(r *rapid.T) {
		unit, pdu := rapid.Byte().Draw(r, "unit"), rapid.SliceOfN(rapid.Byte(), 1, MaxPDU).Draw(r, "pdu")
		body := append([]byte{unit}, pdu...)
		if got, want := appendRTU([]byte("before"), unit, pdu), append(body, sum(body)...); string(got) != "before"+string(want) {
			r.Fatalf("% x, want % x", got, want)
		}
	})
}

// TestSilence holds the pauses to the table of §2.5.1.1: 3.5 characters of 11 bits, and 1.75 ms above 19200 baud.
func TestSilence(t *testing.T) {
	for baud, want := range map[int]time.Duration{
		1200: 32083333, 9600: 4010416, 19200: 2005208, 38400: 1750 * time.Microsecond, 115200: 1750 * time.Microsecond,
	} {
		if got := silence(baud); got < want-time.Microsecond || got > want+time.Microsecond {
			t.Errorf("%d baud: %s, want %s", baud, got, want)
		}
	}
}

// line is a client on a simulated line with one bank of slaves, in the time of a synctest bubble.
type line struct {
	*Client
	bank *bank

	mu    sync.Mutex // guards the fields below
	opens int
	slave net.Conn
	down  error // opening fails
}

// fail makes opening fail, or work again.
func (l *line) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = err
}

// newLine ends when the test does.
func newLine(t *testing.T, k *bank, o RTU) *line {
	t.Helper()
	l := &line{bank: k}
	var wg sync.WaitGroup
	o.Open = func() (bus.Serial, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.down != nil {
			return nil, l.down
		}
		l.opens++
		master, slave := net.Pipe()
		l.slave = slave
		wg.Go(func() { _ = k.serve(slave) })
		return master, nil
	}
	var err error
	if l.Client, err = NewRTU(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l
}

func oneSlave() *bank { return &bank{units: map[byte]*testSlave{3: newTestSlave()}, baud: 9600} }

var readTwo = Request{Function: ReadInputRegisters, Address: 100, Count: 2}

func TestRTU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := oneSlave()
		l := newLine(t, k, RTU{Name: "rs485"})
		begun := time.Now()
		a, err := l.Do(t.Context(), 3, readTwo)
		if err != nil || !slices.Equal(a.Registers, []uint16{3100, 3131}) {
			t.Fatalf("%v, %v", a, err)
		}
		if took, want := time.Since(begun), silence(9600)+duration(9600, 8+9); took != want {
			t.Errorf("took %s, want the silence and 17 characters: %s", took, want)
		}
		for _, r := range []Request{
			{Function: WriteCoil, Address: 5, Bits: bits("1")}, {Function: WriteRegister, Address: 5, Registers: []uint16{77}},
			{Function: WriteCoils, Address: 6, Bits: bits("101")}, {Function: WriteRegisters, Address: 6, Registers: []uint16{78, 79}},
		} {
			if _, err := l.Do(t.Context(), 3, r); err != nil {
				t.Errorf("function %d: %v", r.Function, err)
			}
		}
		if a, err := l.Do(t.Context(), 3, Request{Function: ReadCoils, Address: 5, Count: 4}); err != nil || !slices.Equal(a.Bits, bits("1101")) {
			t.Errorf("%v, %v", a, err)
		}
		k.units[3].set(func() { k.units[3].refuse[100] = 6 })
		if _, err := l.Do(t.Context(), 3, readTwo); !errors.Is(err, DeviceBusy) || err.Error() != "modbus line rs485: unit 3: exception 06, server device busy" {
			t.Errorf("%v", err)
		}
		if l.opens != 1 || l.String() != "modbus line rs485" {
			t.Errorf("%d opens of %s", l.opens, l)
		}
	})
}

// TestBadAnswers is what a line may bring instead of an answer. The next question after each is answered.
func TestBadAnswers(t *testing.T) {
	flip := func(i int) func([]byte) []byte {
		return func(a []byte) []byte { b := slices.Clone(a); b[i] ^= 0x10; return b }
	}
	for name, c := range map[string]struct {
		mangle func([]byte) []byte
		want   error
	}{
		"damaged data":       {flip(4), bus.ErrChecksum},
		"damaged checksum":   {flip(8), bus.ErrChecksum},
		"damaged unit":       {flip(0), ErrProtocol},
		"damaged function":   {flip(1), ErrProtocol},
		"damaged byte count": {flip(2), bus.ErrChecksum},
		"cut short":          {func(a []byte) []byte { return a[:6] }, bus.ErrNoAnswer},
		"one byte":           {func(a []byte) []byte { return a[:1] }, bus.ErrNoAnswer},
		"noise before it":    {func(a []byte) []byte { return append([]byte{0}, a...) }, ErrProtocol},
		"noise behind it":    {func(a []byte) []byte { return append(slices.Clone(a), 0, 0xff) }, nil},
		"another slave":      {func([]byte) []byte { return append([]byte{4, 4, 2, 0, 1}, sum([]byte{4, 4, 2, 0, 1})...) }, ErrProtocol},
		"a wrong byte count": {func([]byte) []byte { b := []byte{3, 4, 5, 0, 1, 0, 2}; return append(b, sum(b)...) }, ErrProtocol},
		"its own question":   {func([]byte) []byte { b := []byte{3, 4, 0, 100, 0, 2}; return append(b, sum(b)...) }, bus.ErrNoAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := oneSlave()
				l := newLine(t, k, RTU{})
				k.mangle = c.mangle
				a, err := l.Do(t.Context(), 3, readTwo)
				if !errors.Is(err, c.want) || err != nil && (a.Registers != nil || a.Bits != nil) {
					t.Fatalf("%+v, %v; want %v", a, err, c.want)
				}
				k.mu.Lock()
				k.mangle = nil
				k.mu.Unlock()
				if a, err := l.Do(t.Context(), 3, readTwo); err != nil || a.Registers[1] != 3131 {
					t.Errorf("the next one: %v, %v", a, err)
				}
				if l.opens != 1 {
					t.Errorf("the line was opened %d times", l.opens)
				}
			})
		})
	}
}

// TestLateAnswer holds that an answer that comes too late is not taken for that to the next question.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := oneSlave()
		l := newLine(t, k, RTU{Timeout: 100 * time.Millisecond})
		k.think = 300 * time.Millisecond
		begun := time.Now()
		if _, err := l.Do(t.Context(), 3, readTwo); !errors.Is(err, bus.ErrNoAnswer) {
			t.Fatalf("%v", err)
		}
		if took := time.Since(begun); took > 200*time.Millisecond {
			t.Errorf("waited %s for a slave that may think 100 ms", took)
		}
		<-time.After(time.Second) // the answer waits in the line
		k.think = 0
		if a, err := l.Do(t.Context(), 3, Request{Function: ReadInputRegisters, Address: 200, Count: 2}); err != nil || a.Registers[0] != 6200 {
			t.Errorf("%v, %v", a, err)
		}
	})
}

// TestEcho is an adapter that hears what it sends. Its first answer to a single write cannot be told from the echo.
func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		write := Request{Function: WriteRegister, Address: 1, Registers: []uint16{9}}
		k := oneSlave()
		k.echo = true
		l := newLine(t, k, RTU{})
		for i := range 3 {
			if a, err := l.Do(t.Context(), 3, readTwo); err != nil || a.Registers[0] != 3100 {
				t.Fatalf("read %d: %v, %v", i, a, err)
			}
			if _, err := l.Do(t.Context(), 3, write); err != nil {
				t.Fatalf("write %d: %v", i, err)
			}
		}
		k.units[3].set(func() { k.units[3].dead = true })
		if _, err := l.Do(t.Context(), 3, write); !errors.Is(err, bus.ErrNoAnswer) {
			t.Errorf("a dead slave's echo was taken for its answer: %v", err)
		}
		for _, echo := range []bool{true, false} {
			l := newLine(t, &bank{units: map[byte]*testSlave{3: newTestSlave()}, echo: echo}, RTU{})
			_, err := l.Do(t.Context(), 3, write)
			if heard := err == nil; heard != echo {
				t.Errorf("echo %v: a first write was %v", echo, err)
			}
		}
	})
}

// TestBabble is a line on which somebody talks all the time.
func TestBabble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		master, other := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				if _, err := other.Write(make([]byte, 32)); err != nil {
					return
				}
			}
		})
		c, err := NewRTU(RTU{Open: func() (bus.Serial, error) { return master, nil }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Do(t.Context(), 3, readTwo); !errors.Is(err, errBabble) {
			t.Errorf("%v", err)
		}
		c.Close()
		wg.Wait()
	})
}

// TestTrickle is a line on which a byte comes now and then, never as many as are thrown away at once: it is given up after the
// time of one late answer, and at once when nobody wants to know any more.
func TestTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		master, other := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			for _, err := other.Write([]byte{0xff}); err == nil; _, err = other.Write([]byte{0xff}) {
				<-time.After(3 * time.Millisecond)
			}
		})
		c, err := NewRTU(RTU{Open: func() (bus.Serial, error) { return master, nil }})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := c.Do(t.Context(), 3, readTwo); !errors.Is(err, errBabble) {
			t.Errorf("%v", err)
		}
		if took, most := time.Since(begun), defaultTimeout+duration(9600, maxRTU)+silence(9600); took > most {
			t.Errorf("others waited %s for a line that is never quiet, want at most %s", took, most)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		begun = time.Now()
		if _, err := c.Do(ctx, 3, readTwo); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 20*time.Millisecond {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		c.Close()
		wg.Wait()
	})
}

// TestLineFails holds that a line that was pulled is opened again.
func TestLineFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, oneSlave(), RTU{})
		l.fail(errors.New("no such device"))
		if _, err := l.Do(t.Context(), 3, readTwo); !errors.Is(err, ErrNoWire) || !errors.Is(err, bus.ErrStuck) || !strings.HasSuffix(err.Error(), ": no such device") {
			t.Errorf("%v", err)
		}
		l.fail(nil)
		if _, err := l.Do(t.Context(), 3, readTwo); err != nil {
			t.Error(err)
		}
		_ = l.slave.Close()
		if _, err := l.Do(t.Context(), 3, readTwo); err == nil || errors.Is(err, bus.ErrNoAnswer) {
			t.Errorf("over a line that was pulled: %v", err)
		}
		if _, err := l.Do(t.Context(), 3, readTwo); err != nil || l.opens != 2 {
			t.Errorf("%v, opened %d times", err, l.opens)
		}
	})
}

// TestTogether asks one line from many sides at once, one of which does not want to wait.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, oneSlave(), RTU{})
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				at := uint16(i * 50)
				a, err := l.Do(t.Context(), 3, Request{Function: ReadInputRegisters, Address: at, Count: 3})
				if err != nil || a.Registers[2] != (at+2)*31 {
					t.Errorf("%v, %v", a, err)
				}
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		wg.Go(func() {
			for {
				if _, err := l.Do(ctx, 3, readTwo); err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					return
				}
			}
		})
		wg.Wait()
	})
}

func TestWrongClients(t *testing.T) {
	open := func() (bus.Serial, error) { return nil, errors.New("never") }
	for name, o := range map[string]RTU{"no way to open": {}, "slow": {Open: open, Baud: 299}, "negative": {Open: open, Timeout: -1}} {
		if _, err := NewRTU(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, o := range map[string]TCP{"no port": {Address: "192.0.2.7"}, "negative": {Address: "192.0.2.7:502", Timeout: -1}} {
		if _, err := NewTCP(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, oneSlave(), RTU{})
		for _, unit := range []byte{0, 248, 255} {
			if _, err := l.Do(t.Context(), unit, readTwo); err == nil {
				t.Errorf("unit %d was asked", unit)
			}
		}
		if _, err := l.Do(t.Context(), 3, Request{}); err == nil {
			t.Error("an empty request was sent")
		}
	})
}
