package station

import (
	"fmt"
	"sync"
	"time"

	"watchpost/firmware/arming"
	"watchpost/firmware/config"
)

// Bounds of guessing codes.
const (
	keypadTries = 5                // wrong codes in a row, and no code is taken
	keypadRest  = 90 * time.Second // for so long
)

// keypad finds out whose code was entered.
type keypad struct {
	users []config.User
	up    func() time.Duration // counts on through changes of the wall clock

	mu    sync.Mutex // guards the fields below; and one code is tried at a time, since that costs memory
	wrong int
	until time.Duration // no code is taken before; 0 = codes are taken
}

// lockedError says that too many codes were wrong.
type lockedError struct {
	left time.Duration
	now  bool // this very code was the last one
}

// Error says how long it takes.
func (e *lockedError) Error() string {
	return fmt.Sprintf("%d wrong codes: no code is taken for %s", keypadTries, e.left.Round(time.Second))
}

// What an unknown actor has tried.
const whyCode = "wrong-code"

// enter tries a code. It takes as long for a code that nobody has as for any other: all users' codes are compared, always.
// The error is a *lockedError.
func (k *keypad) enter(code string) (arming.Actor, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if left := k.until - k.up(); k.until > 0 && left > 0 {
		return arming.Actor{}, &lockedError{left: left}
	}
	k.until = 0
	who := arming.Actor{Via: "code", Why: whyCode}
	for _, u := range k.users {
		normal, duress := u.Code.Matches(code), u.Duress.Matches(code)
		if (normal || duress) && who.User == "" {
			who = arming.Actor{User: u.ID, Via: "code", Duress: duress && !normal}
		}
	}
	if who.User != "" {
		k.wrong = 0
		return who, nil
	}
	if k.wrong++; k.wrong < keypadTries {
		return who, nil
	}
	k.wrong, k.until = 0, k.up()+keypadRest
	return who, &lockedError{left: keypadRest, now: true}
}
