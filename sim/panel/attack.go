package panel

import (
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Attack is one thing that a hostile or a broken device does to a receiver.
type Attack string

// The attacks. All but garbage, half, slow and huge are frames that are right by CRC and length.
const (
	AttackPlain   Attack = "plain"    // plain reports for an account, which has a key
	AttackLeak    Attack = "key-leak" // the same with extended blocks of every letter: some receivers answer with the key
	AttackReplay  Attack = "replay"   // captured frames again
	AttackStale   Attack = "stale"    // well encrypted, and an hour or 41 s too old, or 30 s or a year too new
	AttackAccount Attack = "account"  // reports for accounts that nobody has
	AttackKey     Attack = "key"      // encrypted with another key
	AttackAnswers Attack = "answers"  // ACK, NAK and DUH, as if the receiver were a panel
	AttackXSIA    Attack = "xsia"     // Osborne-Hoffman framing
	AttackFlood   Attack = "flood"    // reports that the receiver believes, as fast as they can be sent
	AttackGarbage Attack = "garbage"  // random bytes
	AttackHalf    Attack = "half"     // connections that end in the middle of a frame
	AttackSlow    Attack = "slow"     // many connections, each of which sends a frame byte by byte
	AttackHuge    Attack = "huge"     // frames with lengths that they do not have, and frames that never end
)

// Attacks are all of them.
func Attacks() []Attack {
	return []Attack{
		AttackPlain, AttackLeak, AttackReplay, AttackStale, AttackAccount, AttackKey, AttackAnswers, AttackXSIA, AttackFlood,
		AttackGarbage, AttackHalf, AttackSlow, AttackHuge,
	}
}

// Canary is a text in whatever of an attack a receiver must not repeat.
const Canary = "CANARY"

// Sizes of what an attacker makes.
const (
	garbageSize = 1000
	hugeSize    = 64 << 10
)

// forge makes the bytes number i of an attack, counted from 0.
func (a *Attacker) forge(i int, dice *mathrand.Rand) ([]byte, error) {
	f := Frame{ID: idSIA, Seq: i%maxSeq + 1, Line: defaultLine, Account: a.opts.Account, Data: a.data(i), Time: a.opts.Now()}
	key := a.opts.Key
	switch a.opts.Attack {
	case AttackPlain, AttackHalf, AttackSlow:
		key = nil
	case AttackLeak:
		f.Extra, key = leaks(i), nil
	case AttackReplay:
		return a.opts.Frames[i%len(a.opts.Frames)], nil
	case AttackStale:
		offs := []time.Duration{-time.Hour, -41 * time.Second, 30 * time.Second, 365 * 24 * time.Hour}
		f.Time = f.Time.Add(offs[i%len(offs)])
	case AttackAccount:
		f.Account, key = fmt.Sprintf("%016X", dice.Uint64()), nil
	case AttackKey:
		key = make([]byte, max(len(key), 16))
		for j := range key {
			key[j] = byte(dice.Uint32())
		}
	case AttackAnswers:
		f.ID, f.Data, key = []string{idACK, idNAK, idDUH, "RSP"}[i%4], "", nil
	case AttackXSIA:
		return quirks(nil).envelope(fmt.Sprintf(`"SIA-DCS"%04dL0#%s[%s]%016X|#%s`, f.Seq, f.Account, f.Data, dice.Uint64(), Canary)), nil
	case AttackGarbage:
		return garbage(dice), nil
	case AttackHuge:
		return huge(i, f.Account), nil
	}
	return f.Marshal(key, rand.Reader)
}

// data is the block of report i, in one of the two formats' ways of saying burglary.
func (a *Attacker) data(i int) string {
	return fmt.Sprintf("#%s|Nri1/BA%03d^%s %d^", a.opts.Account, i%999+1, Canary, i)
}

// leaks are extended blocks: each letter alone, empty and with text, and now and then all at once.
func leaks(i int) (blocks []string) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	switch n := i % (2*len(letters) + 2); {
	case n < len(letters):
		return []string{letters[n : n+1]}
	case n < 2*len(letters):
		return []string{letters[n-len(letters):n-len(letters)+1] + Canary}
	case n == 2*len(letters):
		for _, c := range letters {
			blocks = append(blocks, string(c)+Canary)
		}
		return blocks
	}
	return []string{"", "K", "K"}
}

// garbage is random bytes with more of the signs of a frame than chance has.
func garbage(dice *mathrand.Rand) []byte {
	const signs = "\n\r\"[]|#_*0L"
	b := make([]byte, garbageSize)
	for i := range b {
		b[i] = byte(dice.Uint32())
		if dice.IntN(4) == 0 {
			b[i] = signs[dice.IntN(len(signs))]
		}
	}
	return b
}

// huge is a frame that lies about its length, or does not end.
func huge(i int, account string) []byte {
	body := fmt.Sprintf(`"SIA-DCS"0001L0#%s[#%s|NBA001]`, account, account)
	switch i % 4 {
	case 0:
		return fmt.Appendf(nil, "\n%04X0FFF%s\r", crc16(body), body)
	case 1:
		return fmt.Appendf(nil, "\n%04XFFFF%s\r", crc16(body), body)
	case 2:
		return fmt.Appendf(nil, "\n%04X0000%s\r", crc16(body), body)
	}
	return append([]byte("\n00000FFF\"SIA-DCS\""), strings.Repeat("9", hugeSize)...)
}

// check tells what an attack lacks.
func (o AttackOptions) check() error {
	switch {
	case !slices.Contains(Attacks(), o.Attack):
		return fmt.Errorf("attack %q: there are %v", string(o.Attack), Attacks())
	case o.Attack == AttackReplay && len(o.Frames) == 0:
		return errors.New("a replay needs frames: capture some of a panel")
	case o.Attack == AttackStale && len(o.Key) == 0:
		return errors.New("the attack stale needs the account's key: its frames are right but for their time")
	case o.Count < 0 || o.Connections < 0 || o.Connections > maxWindow:
		return fmt.Errorf("%d frames, %d connections: choose 1 or more, and at most %d connections", o.Count, o.Connections, maxWindow)
	}
	return Options{To: o.To, Account: o.Account, Key: o.Key, Line: defaultLine, Format: FormatSIA, First: 1, Window: 1, Coalesce: 1, Codes: []string{"BA"}}.check()
}
