package osdp

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"watchpost/drivers/bus"
	"watchpost/drivers/zone"
)

// phase is how far a conversation has come.
type phase int

const (
	greeting phase = iota // ID is asked for
	listing               // CAP
	challenging
	proving // SCRYPT
	keying  // KEYSET, in a channel of the default key
	looking // LSTAT
	online
)

// Of failures.
const (
	lostAfter  = 3  // commands on end that are not answered
	busyAfter  = 40 // BUSY on end: 2 s
	backOffMin = time.Second
	backOffMax = 10 * time.Second
	showTenths = 20 // of a second that a verdict is shown
)

// The reasons of a reader's zone being missing or a fault.
const (
	reasonWire    = "wire"    // no answer
	reasonPlain   = "plain"   // it is keyed and answers without a secure channel
	reasonKey     = "key"     // it does not have the key
	reasonMAC     = "mac"     // an answer was changed, made or sent again by somebody else
	reasonRefused = "refused" // it says no
	reasonPower   = "power"   // its supply is not as it should be
	reasonStatus  = "status"  // it does not say how its tamper switch is
)

// errDone means that the reader has ended its channel, as after a restart: it is greeted again.
var errDone = errors.New("the reader has ended the secure channel")

// refusal is why a reader is not believed or does not do what it must.
type refusal struct {
	reason string
	err    error
}

// Error is the reason in words.
func (r *refusal) Error() string { return r.err.Error() }

// Unwrap is what came before it.
func (r *refusal) Unwrap() error { return r.err }

// found is what an answer has told.
type found struct {
	card Card // no bits = none
	keys string
}

// reader is one reader at work. Only Run looks at what the mutex does not guard.
type reader struct {
	cfg  Reader
	zone *zone.Zone
	rand io.Reader

	phase     phase
	sequence  byte
	crc       bool
	base      *Key // of the channel that is made
	handshake *Handshake
	proof     Packet // what proving sends
	session   *Session
	identity  Identity
	can       capabilities
	pending   []byte // the command that is not answered yet
	memory    [MaxPacket + 1]byte
	tamper    bool
	power     bool
	blindTo   error    // LSTAT was refused
	orders    []Packet // to be sent before the next POLL
	giving    bool     // somebody wishes that it is given its key

	puzzled     time.Time // when it was last told that the reader says what cannot be read
	fails, busy int       // commands on end that were not answered, and that were with BUSY
	ended       int       // channels on end that the reader has ended without an answer in them
	pause       time.Duration
	retryAt     time.Time
	askedAt     time.Time
	heard       zone.Word

	mu      sync.Mutex // guards the fields below
	verdict *bool      // to be shown, nil = none
	wish    chan error // of somebody who wants the reader to be given its key, nil = nobody
}

// show has the reader show what became of a card or a code.
func (r *reader) show(accepted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdict = &accepted
}

// wished begins anew when somebody has wished the reader to be given its key.
func (r *reader) wished() {
	r.mu.Lock()
	wanted := r.wish != nil
	r.mu.Unlock()
	if wanted && !r.giving {
		r.restart()
		r.retryAt = time.Time{}
	}
	r.giving = wanted
}

// restart begins the conversation from its start.
func (r *reader) restart() {
	r.phase, r.sequence, r.crc = greeting, 0, true
	r.handshake, r.session, r.pending, r.blindTo = nil, nil, nil, nil
	r.busy = 0
}

// command is the next one to send, or the one that was not answered, as it was.
func (r *reader) command() ([]byte, error) {
	if r.pending != nil {
		return r.pending, nil
	}
	p, err := r.next()
	if err != nil {
		return nil, err
	}
	p.Address, p.Sequence, p.CRC = r.cfg.Address, r.sequence, r.crc
	if r.session != nil {
		r.pending, err = r.session.Append(r.memory[:0], &p)
	} else {
		r.pending, err = p.Append(r.memory[:0])
	}
	return r.pending, err
}

func (r *reader) next() (Packet, error) {
	switch r.phase {
	case greeting:
		return Packet{Code: byte(CommandID), Data: []byte{0}}, nil
	case listing:
		return Packet{Code: byte(CommandCap), Data: []byte{0}}, nil
	case challenging:
		var random [randomSize]byte
		if _, err := io.ReadFull(r.rand, random[:]); err != nil {
			return Packet{}, fmt.Errorf("a random number: %w", err)
		}
		r.handshake = NewHandshake(r.base, random)
		return r.handshake.Challenge(), nil
	case proving:
		return r.proof, nil
	case keying:
		return Packet{Code: byte(CommandKeySet), Data: keySet(nil, r.cfg.Key)}, nil
	case looking:
		return Packet{Code: byte(CommandLocal)}, nil
	}
	r.express()
	if len(r.orders) > 0 {
		p := r.orders[0]
		r.orders = r.orders[1:]
		return p, nil
	}
	return Packet{Code: byte(CommandPoll)}, nil
}

// express makes orders of a verdict: green and one tone, or red and three.
func (r *reader) express() {
	r.mu.Lock()
	v := r.verdict
	r.verdict = nil
	r.mu.Unlock()
	if v == nil {
		return
	}
	colour, tones := ColorRed, byte(3)
	if *v {
		colour, tones = ColorGreen, 1
	}
	r.orders = nil
	if r.can.led {
		r.orders = append(r.orders, Packet{Code: byte(CommandLED), Data: flash(nil, colour, showTenths)})
	}
	if r.can.buzzer {
		r.orders = append(r.orders, Packet{Code: byte(CommandBuzzer), Data: beep(nil, 1, 1, tones)})
	}
}

// take judges an answer and moves on. The errors are [*refusal], errDone and those of a packet that is none.
func (r *reader) take(p *Packet) (found, error) {
	if Reply(p.Code) == ReplyBusy && p.Security == SecurityNone {
		r.busy++
		if r.busy > busyAfter {
			return found{}, fmt.Errorf("%w but BUSY", bus.ErrNoAnswer)
		}
		return found{}, nil // the command is sent again as it was
	}
	if err := r.open(p); err != nil {
		return found{}, err
	}
	r.busy, r.pending, r.sequence = 0, nil, r.sequence%3+1
	if Reply(p.Code) == ReplyNAK {
		return found{}, r.denied(parseNAK(p.Data))
	}
	switch r.phase {
	case greeting, listing:
		return found{}, r.introduced(p)
	case challenging, proving:
		return found{}, r.agreed(p)
	}
	return r.reported(p)
}

// open makes sure that the answer is the reader's, if there is a channel.
func (r *reader) open(p *Packet) error {
	if r.session == nil {
		if p.Security.hasMAC() {
			return fmt.Errorf("%w: a secure answer outside a channel", ErrPacket)
		}
		return nil
	}
	if Reply(p.Code) == ReplyNAK && p.Security == SecurityNone {
		return fmt.Errorf("%w: %w", errDone, parseNAK(p.Data))
	}
	switch err := r.session.Open(p); {
	case errors.Is(err, ErrPlain):
		return &refusal{reasonPlain, err}
	case errors.Is(err, ErrMAC):
		return &refusal{reasonMAC, err}
	default:
		return err
	}
}

// denied says what a NAK means.
func (r *reader) denied(nak error) error {
	switch r.phase {
	case greeting:
		if errors.Is(nak, NAKCheck) && r.crc {
			r.crc, r.sequence = false, 0 // it knows checksums only
			return nil
		}
		r.phase = listing // nobody needs its name
		return nil
	case listing:
		r.introduce()
		return nil
	case challenging, proving:
		return &refusal{reasonPlain, fmt.Errorf("it makes no secure channel: %w", nak)}
	case keying:
		return &refusal{reasonRefused, fmt.Errorf("it does not take its key: %w", nak)}
	case looking:
		r.phase, r.blindTo = online, nak
		return nil
	}
	if errors.Is(nak, NAKSequence) {
		return errDone
	}
	return nil // it does not blink or sound
}

// introduced reads who the reader is and what it can do: claims, on which nothing depends but what is shown.
func (r *reader) introduced(p *Packet) (err error) {
	switch {
	case r.phase == greeting && Reply(p.Code) == ReplyID:
		r.identity, err = parseIdentity(p.Data)
		r.phase = listing
	case r.phase == listing && Reply(p.Code) == ReplyCap:
		r.can, err = parseCapabilities(p.Data)
		r.introduce()
	default:
		err = fmt.Errorf("%w: %s was not asked for", ErrPacket, Reply(p.Code))
	}
	return err
}

// introduce goes on to the channel, or without one if none is asked for.
func (r *reader) introduce() {
	r.phase, r.base = challenging, r.cfg.Key
	switch {
	case r.giving:
		r.base = DefaultKey()
	case r.cfg.Key == nil:
		r.phase = looking
	}
}

// agreed is a step of the handshake.
func (r *reader) agreed(p *Packet) (err error) {
	if r.phase == challenging {
		r.proof, err = r.handshake.Crypt(p)
		r.phase = proving
	} else {
		r.session, err = r.handshake.Finish(p)
		r.handshake, r.phase = nil, looking
		if r.base != r.cfg.Key {
			r.phase = keying
		}
	}
	switch {
	case errors.Is(err, ErrCryptogram):
		return &refusal{reasonKey, err}
	case errors.Is(err, ErrMAC):
		return &refusal{reasonMAC, err}
	case errors.Is(err, ErrPacket) && p.Security == SecurityNone:
		return &refusal{reasonPlain, fmt.Errorf("%w: %s", ErrPlain, Reply(p.Code))}
	}
	return err
}

// reported reads what an online reader has to say.
func (r *reader) reported(p *Packet) (f found, err error) {
	if r.phase == keying {
		if Reply(p.Code) != ReplyACK {
			return f, &refusal{reasonRefused, fmt.Errorf("it answers its key with %s", Reply(p.Code))}
		}
		r.granted(nil)
		r.restart()
		return f, nil
	}
	if r.phase == looking {
		r.phase = online
		if Reply(p.Code) != ReplyLocal {
			r.blindTo = fmt.Errorf("it answers LSTAT with %s", Reply(p.Code))
		}
	}
	switch Reply(p.Code) {
	case ReplyRaw:
		f.card, err = parseRaw(p.Data)
	case ReplyKeypad:
		f.keys, err = parseKeypad(p.Data)
	case ReplyLocal:
		if r.tamper, r.power, err = parseLocal(p.Data); err == nil {
			r.blindTo = nil
		}
	case ReplyFormat:
		err = fmt.Errorf("%w: a card as text (FMT), which the specification leaves open: set the reader to send bits (RAW)", ErrPacket)
	}
	return f, err
}

// granted ends the wish for a key.
func (r *reader) granted(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wish != nil {
		r.wish <- err
		r.wish = nil
	}
}

// word is how the reader stands while it answers.
func (r *reader) word() zone.Word {
	switch {
	case r.tamper:
		return zone.Word{State: zone.Active}
	case r.blindTo != nil:
		return zone.Word{State: zone.Fault, Reason: reasonStatus, Detail: r.blindTo.Error()}
	case r.power:
		return zone.Word{State: zone.Fault, Reason: reasonPower, Detail: "the reader says that its supply fails"}
	}
	return zone.Word{State: zone.Normal}
}
