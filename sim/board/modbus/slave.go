package modbus

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Mood is how a slave behaves.
type Mood uint8

// The moods.
const (
	// Alive is a slave as it should be.
	Alive Mood = iota
	// Dead gives no answer.
	Dead
	// Slow answers after the slave's delay.
	Slow
	// BadCRC damages the check of its answers; over TCP, which has none, it cuts them short.
	BadCRC
	// WrongID answers over TCP with another transaction's number, over RTU as another slave.
	WrongID
	// Failing answers with exception 4, device failure.
	Failing
	// Babble sends noise in the place of an answer.
	Babble
)

// MoodNames are the names of the moods, in their order.
func MoodNames() []string {
	return []string{"alive", "dead", "slow", "bad-crc", "wrong-id", "exception", "babble"}
}

// ParseMood finds a mood by its name.
func ParseMood(name string) (Mood, error) {
	i := slices.Index(MoodNames(), name)
	if i < 0 {
		return 0, fmt.Errorf("%q: a slave is alive, dead, slow, bad-crc, wrong-id, exception or babble", name)
	}
	return Mood(i), nil
}

// Table is one of a slave's four (V1.1b3, 4.3).
type Table uint8

// The tables.
const (
	Coils Table = iota
	Discrete
	Holding
	Input
)

// TableNames are the names of the tables, in their order.
func TableNames() []string { return []string{"coil", "discrete", "holding", "input"} }

// ParseTable finds a table by its name.
func ParseTable(name string) (Table, error) {
	i := slices.Index(TableNames(), name)
	if i < 0 {
		return 0, fmt.Errorf("%q: a table is coil, discrete, holding or input", name)
	}
	return Table(i), nil
}

// defaultDelay is what a slow slave takes.
const defaultDelay = 300 * time.Millisecond

// Slave is one slave. Safe for concurrent use.
type Slave struct {
	mu     sync.Mutex // guards the fields below
	tables [4]map[uint16]uint16
	mood   Mood
	delay  time.Duration
	asked  int
}

// NewSlave is a living slave with empty tables: every address is illegal until it is set.
func NewSlave() *Slave {
	s := &Slave{delay: defaultDelay}
	for i := range s.tables {
		s.tables[i] = map[uint16]uint16{}
	}
	return s
}

// Set puts a value into a table; of coils and discrete inputs, 0 is off and all else on.
func (s *Slave) Set(t Table, address, value uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t <= Discrete && value != 0 {
		value = 1
	}
	s.tables[t][address] = value
}

// Value is what stands in a table; ok is false if nothing does.
func (s *Slave) Value(t Table, address uint16) (value uint16, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok = s.tables[t][address]
	return value, ok
}

// Behave changes the mood; delay is that of a slow slave, 300 ms by default.
func (s *Slave) Behave(m Mood, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mood = m; delay > 0 {
		s.delay = delay
	}
}

// Asked is how many requests the slave has heard, answered or not.
func (s *Slave) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Functions (V1.1b3, 6).
const (
	readCoils      = 1
	readDiscrete   = 2
	readHolding    = 3
	readInput      = 4
	writeCoil      = 5
	writeRegister  = 6
	writeCoils     = 15
	writeRegisters = 16
	exceptionBit   = 0x80
)

// exception is a code that a slave refuses with (V1.1b3, 7).
type exception byte

const (
	illegalFunction exception = 1
	illegalAddress  exception = 2
	illegalValue    exception = 3
	deviceFailure   exception = 4
)

// Limits of one request, in bits and in registers (V1.1b3, 6.1, 6.3, 6.11, 6.12).
const (
	maxReadBits       = 2000
	maxReadRegisters  = 125
	maxWriteBits      = 1968
	maxWriteRegisters = 123
	maxPDU            = 253 // bytes
)

// answer is what the slave says to a request without address and check, and how it says it.
func (s *Slave) answer(pdu []byte) (out []byte, mood Mood, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.mood == Failing {
		return refuse(pdu, deviceFailure), s.mood, 0
	}
	if s.mood == Slow {
		delay = s.delay
	}
	return s.obey(pdu), s.mood, delay
}

func refuse(pdu []byte, code exception) []byte { return []byte{pdu[0] | exceptionBit, byte(code)} }

// obey needs s.mu.
func (s *Slave) obey(pdu []byte) []byte {
	function := pdu[0]
	if function < readCoils || function > writeRegister && function != writeCoils && function != writeRegisters {
		return refuse(pdu, illegalFunction)
	}
	if len(pdu) < 5 {
		return refuse(pdu, illegalValue)
	}
	at, n := binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:])
	switch function {
	case readCoils, readDiscrete:
		return s.read(pdu, Table(function-readCoils), at, n, maxReadBits)
	case readHolding, readInput:
		return s.read(pdu, Holding+Table(function-readHolding), at, n, maxReadRegisters)
	case writeCoil:
		if n != 0 && n != 0xFF00 {
			return refuse(pdu, illegalValue)
		}
		return s.write(pdu, Coils, at, []uint16{n >> 15})
	case writeRegister:
		return s.write(pdu, Holding, at, []uint16{n})
	}
	if len(pdu) < 6 || len(pdu) != 6+int(pdu[5]) {
		return refuse(pdu, illegalValue)
	}
	data := pdu[6:]
	if function == writeCoils {
		if n < 1 || n > maxWriteBits || len(data) != (int(n)+7)/8 {
			return refuse(pdu, illegalValue)
		}
		values := make([]uint16, n)
		for i := range values {
			values[i] = uint16(data[i/8]>>(i%8)) & 1
		}
		return s.write(pdu, Coils, at, values)
	}
	if n < 1 || n > maxWriteRegisters || len(data) != 2*int(n) {
		return refuse(pdu, illegalValue)
	}
	values := make([]uint16, n)
	for i := range values {
		values[i] = binary.BigEndian.Uint16(data[2*i:])
	}
	return s.write(pdu, Holding, at, values)
}

// read answers with n values of a table.
func (s *Slave) read(pdu []byte, t Table, at, n, limit uint16) []byte {
	if n < 1 || n > limit || len(pdu) != 5 {
		return refuse(pdu, illegalValue)
	}
	bits := make([]byte, (int(n)+7)/8)
	var words []byte
	for i := range int(n) {
		v, ok := s.tables[t][at+uint16(i)]
		if !ok || int(at)+i > 0xFFFF {
			return refuse(pdu, illegalAddress)
		}
		bits[i/8] |= byte(v&1) << (i % 8)
		words = binary.BigEndian.AppendUint16(words, v)
	}
	if t <= Discrete {
		words = bits
	}
	return append([]byte{pdu[0], byte(len(words))}, words...)
}

// write changes values that are there, and answers with the first five bytes of the request.
func (s *Slave) write(pdu []byte, t Table, at uint16, values []uint16) []byte {
	for i := range values {
		if _, ok := s.tables[t][at+uint16(i)]; !ok || int(at)+i > 0xFFFF {
			return refuse(pdu, illegalAddress)
		}
	}
	for i, v := range values {
		s.tables[t][at+uint16(i)] = v
	}
	return slices.Clone(pdu[:5])
}
