package command

import (
	"time"

	"watchpost/uplink/topic"
)

// ledgerSize is how many unexpired commands a desk remembers.
const ledgerSize = 1024

// ledger remembers the commands that were taken, until they could no longer pass as new, and their answers. It is not
// safe for concurrent use.
type ledger struct {
	entries map[string]*entry
}

type entry struct {
	forget time.Time    // by the process's clock
	answer *topic.Reply // nil while the command is being obeyed
}

// take enters a command that is not there yet. false = nothing unexpired may be forgotten for it.
func (l *ledger) take(id string, now time.Time) bool {
	if l.entries == nil {
		l.entries = map[string]*entry{}
	}
	if len(l.entries) >= ledgerSize {
		for old, e := range l.entries {
			if now.After(e.forget) {
				delete(l.entries, old)
			}
		}
	}
	if len(l.entries) >= ledgerSize {
		return false
	}
	// A command can be valid for MaxLifetime, plus what the clocks may differ on either side.
	l.entries[id] = &entry{forget: now.Add(MaxLifetime + 2*MaxSkew)}
	return true
}

// drop forgets a command that was not obeyed after all.
func (l *ledger) drop(id string) { delete(l.entries, id) }

// answered keeps the answer to a command.
func (l *ledger) answered(id string, r topic.Reply) {
	if e, ok := l.entries[id]; ok {
		e.answer = &r
	}
}
