package osdp

import (
	"bytes"
	"crypto/rand"
	"slices"
	"sync"
)

// Mood is how a reader behaves.
type Mood int

// The moods.
const (
	Well      Mood = iota
	Plain          // knows of no secure channel: what a thief puts in a reader's place
	WrongMAC       // makes a channel, and then sends MACs that are none
	Replay         // makes a channel, and sends the card that it sent first over and over, as it was on the wire
	Downgrade      // makes a channel, and then sends cards in plain beside it
	Dead           // says nothing
	Babble         // answers with noise
	Busy           // is busy all the time
	Forgets        // ends its channel after each handshake, as if it started again
	Stolen         // has the right key and another number on the wire
)

// Options are a reader's.
type Options struct {
	// Address is its number, 0 to 126.
	Address byte
	// Key is its base key of 16 bytes; nil is the default key of all readers, as it comes from the factory.
	Key []byte
	// Mood is how it begins.
	Mood Mood
	// SumOnly says that it knows checksums and no CRC.
	SumOnly bool
	// NoStatus says that it does not say how its tamper switch is.
	NoStatus bool
}

// Codes that a reader knows (Annex A).
const (
	ack, nak, pdID, pdCap, lstatR, raw, keypad, ccrypt, rmacI, busy   = 0x40, 0x41, 0x45, 0x46, 0x48, 0x50, 0x53, 0x76, 0x78, 0x79
	poll, id, capabilities, lstat, led, buzzer, keySet, chlng, sCrypt = 0x60, 0x61, 0x62, 0x64, 0x69, 0x6A, 0x75, 0x76, 0x77
)

const noise = "\x53\x55\x00\xFFbabble\x53\x53\xFF\x00\x01"

// Reader is one simulated reader. Its methods may be called at once from several goroutines.
type Reader struct {
	o Options

	mu       sync.Mutex // guards the fields below
	mood     Mood
	key      []byte
	channel  *channel
	last     []byte // the reply that went out last, for a command that is repeated
	lastSeq  byte
	greeted  bool
	waiting  [][]byte // code and data that a poll gets, in order
	old      []byte   // the first card's reply, as it was on the wire
	tamper   bool
	power    bool
	colour   byte
	tones    byte
	commands []byte // codes of what was asked for, but POLL
	polls    int
}

// NewReader is a reader with nothing to tell.
func NewReader(o Options) *Reader { return &Reader{o: o, mood: o.Mood, key: slices.Clone(o.Key)} }

func (r *Reader) do(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// Be changes its mood.
func (r *Reader) Be(m Mood) { r.do(func() { r.mood = m }) }

// Present holds a card to it, so many bits of b, the highest first.
func (r *Reader) Present(bits int, b []byte) {
	r.do(func() {
		r.waiting = append(r.waiting, append([]byte{raw, 0, 0, byte(bits), byte(bits >> 8)}, b...))
	})
}

// Type presses keys: digits, * and #.
func (r *Reader) Type(keys string) {
	pressed := []byte(keys)
	for i, k := range pressed {
		switch k {
		case '*':
			pressed[i] = 0x7F
		case '#':
			pressed[i] = 0x0D
		}
	}
	r.do(func() { r.waiting = append(r.waiting, append([]byte{keypad, 0, byte(len(pressed))}, pressed...)) })
}

// Unscrew sets how its tamper switch and its supply are; true is not as they should be.
func (r *Reader) Unscrew(tamper, power bool) {
	r.do(func() {
		r.tamper, r.power = tamper, power
		r.waiting = append(r.waiting, append([]byte{lstatR}, r.status()...))
	})
}

// Forget restarts it, as a power cut does: no channel is left.
func (r *Reader) Forget() { r.do(func() { r.channel, r.last, r.greeted = nil, nil, false }) }

// Shown is the colour of its LED and the tones that it was last told to sound.
func (r *Reader) Shown() (colour, tones byte) {
	r.do(func() { colour, tones = r.colour, r.tones })
	return colour, tones
}

// Key is its base key; nil is the default one.
func (r *Reader) Key() (key []byte) {
	r.do(func() { key = slices.Clone(r.key) })
	return key
}

// Polls is how often it was polled.
func (r *Reader) Polls() (n int) {
	r.do(func() { n = r.polls })
	return n
}

// Commands are the codes that it was asked for, but for POLL.
func (r *Reader) Commands() (codes []byte) {
	r.do(func() { codes = slices.Clone(r.commands) })
	return codes
}

// status needs the mutex.
func (r *Reader) status() []byte {
	b := []byte{0, 0}
	if r.tamper {
		b[0] = 1
	}
	if r.power {
		b[1] = 1
	}
	return b
}

// base is the key that channels are made with, and its number in a handshake. It needs the mutex.
func (r *Reader) base() ([]byte, byte) {
	if r.key != nil {
		return r.key, 1
	}
	return []byte("0123456789:;<=>?"), 0
}

// answer is what it sends for a command, nil for nothing.
func (r *Reader) answer(q request) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.mood {
	case Dead:
		return nil
	case Babble:
		return []byte(noise)
	case Busy:
		return ended(frame(q.address, 4, nil, busy, nil, 0))
	}
	if q.sequence != 0 && r.last != nil && q.sequence == r.lastSeq {
		return r.last // asked again: answered as before
	}
	if q.code == poll {
		r.polls++
	} else {
		r.commands = append(r.commands, q.code)
	}
	r.last, r.lastSeq = r.reply(q), q.sequence
	return r.last
}

// plain is a reply outside a channel.
func (r *Reader) plain(q request, block []byte, code byte, data ...byte) []byte {
	control := q.sequence
	if q.crc {
		control |= 4
	}
	address := q.address
	if r.mood == Stolen {
		address++
	}
	return ended(frame(address, control, block, code, data, 0))
}

// reply needs the mutex.
func (r *Reader) reply(q request) []byte {
	if q.crc && r.o.SumOnly {
		q.crc = false
		return r.plain(q, nil, nak, 1)
	}
	if q.sequence == 0 {
		r.channel, r.greeted = nil, true
	}
	if !r.greeted {
		return r.plain(q, nil, nak, 4)
	}
	if r.channel != nil && r.channel.open {
		return r.sealed(q)
	}
	if q.block != nil {
		return r.shake(q)
	}
	code, data := r.told(q)
	if r.key != nil && q.code != id && q.code != capabilities && r.mood != Plain {
		return r.plain(q, nil, nak, 6)
	}
	return r.plain(q, nil, code, data...)
}

// shake is its side of a handshake.
func (r *Reader) shake(q request) []byte {
	key, number := r.base()
	switch {
	case r.mood == Plain:
		return r.plain(q, nil, nak, 5)
	case q.code == chlng && q.block[0] == 0x11 && len(q.data) == 8 && q.block[1] == number:
		own := make([]byte, 8)
		_, _ = rand.Read(own) // never fails
		var data []byte
		r.channel, data = answered(key, q.data, own, []byte{0xCA, 0xFE, 0, 1, 1, 0, 0, r.o.Address})
		return r.plain(q, []byte{0x12, number}, ccrypt, data...)
	case q.code == sCrypt && q.block[0] == 0x13 && r.channel != nil:
		if !r.channel.proved(q.data) {
			r.channel = nil
			return r.plain(q, []byte{0x14, 0xFF}, rmacI, zeros()...)
		}
		return r.plain(q, []byte{0x14, 1}, rmacI, r.channel.ours...)
	}
	return r.plain(q, nil, nak, 6)
}

// sealed answers within the channel.
func (r *Reader) sealed(q request) []byte {
	if r.mood == Forgets {
		r.channel = nil
		return r.plain(q, nil, nak, 6)
	}
	if q.mac == nil || !r.channel.heard(&q) {
		r.channel = nil
		return r.plain(q, nil, nak, 6)
	}
	if q.code == poll && r.mood == Replay && r.old != nil {
		return r.old
	}
	code, data := r.told(q)
	if r.mood == Downgrade && code == raw {
		return r.plain(q, nil, code, data...)
	}
	control := q.sequence
	if q.crc {
		control |= 4
	}
	f := r.channel.said(q.address, control, code, data)
	if r.mood == WrongMAC {
		f[len(f)-1] ^= 0x10
	}
	f = ended(f)
	if code == raw && r.old == nil {
		r.old = bytes.Clone(f)
	}
	return f
}

// told is what a command gets.
func (r *Reader) told(q request) (code byte, data []byte) {
	switch q.code {
	case poll:
		if len(r.waiting) == 0 {
			return ack, nil
		}
		first := r.waiting[0]
		r.waiting = r.waiting[1:]
		return first[0], first[1:]
	case id:
		return pdID, []byte{0xCA, 0xFE, 0x00, 7, 2, r.o.Address, 0, 0, 0, 1, 4, 2}
	case capabilities:
		return pdCap, []byte{4, 1, 1, 5, 1, 1, 8, 1, 0, 9, 1, 1, 10, 0x80, 0}
	case lstat:
		if r.o.NoStatus {
			return nak, []byte{3}
		}
		return lstatR, r.status()
	case led:
		if len(q.data) != 14 {
			return nak, []byte{2}
		}
		r.colour = q.data[5]
		return ack, nil
	case buzzer:
		if len(q.data) != 5 {
			return nak, []byte{2}
		}
		r.tones = q.data[4]
		return ack, nil
	case keySet:
		if r.channel == nil || len(q.data) != 18 || q.data[0] != 1 || q.data[1] != 16 {
			return nak, []byte{9}
		}
		r.key = bytes.Clone(q.data[2:])
		return ack, nil
	}
	return nak, []byte{3}
}
