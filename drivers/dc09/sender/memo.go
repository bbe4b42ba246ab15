package sender

import (
	"encoding/json"
	"fmt"
	"time"

	"watchpost/drivers/dc09"
	"watchpost/storage/event"
)

// maxMemo bounds a memo, in bytes.
const maxMemo = 4 << 10

// memory is what a memo holds: the message under way, or the last one, and how far the receiver's clock is off.
type memory struct {
	V      int           `json:"v"`
	Number int           `json:"number"` // of that message, 1 to 9999; 0 = there was none
	Epoch  string        `json:"epoch"`  // of the event that it tells
	Seq    uint64        `json:"seq"`    // of that event
	Stamp  time.Time     `json:"stamp"`  // of that message, whole seconds
	Offset time.Duration `json:"offset"` // receiver's clock less ours
}

// load reads the memo. One that cannot be read costs a number that is used again: it begins at 1.
func (s *Sender) load() error {
	b, err := s.o.Memo.Load()
	if err != nil {
		return fmt.Errorf("reading the memo of receiver %s: %w", s.o.ID, err)
	}
	s.mem = memory{V: 1}
	if b == nil { // from here on there was one
		s.save()
		return nil
	}
	var was memory
	if len(b) > maxMemo || json.Unmarshal(b, &was) != nil || was.V != 1 || was.Number < 0 || was.Number > dc09.MaxNumber {
		s.o.Log.Warn("the memo cannot be read, and is written anew: the message under way may come twice")
		return nil
	}
	s.mem = was
	return nil
}

// begin makes the message of e the one under way. A message that is under way keeps its number and its time.
func (s *Sender) begin(e event.Event) {
	if s.mem.Number != 0 && s.mem.Seq == e.Seq && s.mem.Epoch == e.Epoch.String() {
		return
	}
	s.mem.Number = s.mem.Number%dc09.MaxNumber + 1
	s.mem.Epoch, s.mem.Seq = e.Epoch.String(), e.Seq
	s.stamp()
}

// stamp gives the message under way the time of the receiver's clock, and keeps it. A message that could not be kept is sent all
// the same: it is then only not known as a repeat after a crash.
func (s *Sender) stamp() {
	s.mem.Stamp = s.clock().UTC().Truncate(time.Second)
	s.save()
}

func (s *Sender) save() {
	b, err := json.Marshal(s.mem)
	if err == nil {
		err = s.o.Memo.Save(b)
	}
	if err != nil {
		s.trouble(&s.memoFaults, "the memo is not on disk: a crash would send this message under another number", err)
	}
}

// clock is the receiver's.
func (s *Sender) clock() time.Time { return s.o.Now().Add(s.mem.Offset) }
